"""Media by URL: complete copies or none, changed objects fetched anew, a bound that holds."""

from __future__ import annotations

import http.server
import multiprocessing
import threading
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest

from affect_mllm.data.reader import Reader
from affect_mllm.media.remote import MediaFiles
from affect_mllm.types import ConfigError, DataError, Sample
from tests.media import clips


@pytest.fixture
def store():
    """fsspec's memory store, empty before and after."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def files(folder: Path, **settings) -> MediaFiles:
    return MediaFiles(str(folder), pause_s=0, **settings)


def copies(folder: Path) -> list[bytes]:
    return sorted(p.read_bytes() for p in folder.glob("??/*") if p.suffix != ".lock")


def get(cache: MediaFiles, url: str) -> bytes:
    with cache.copy_of(url) as path:
        return path.read_bytes()


def test_a_copy_is_made_once_and_again_when_the_object_changes(store, tmp_path) -> None:
    store.pipe("/b/a.wav", b"one")
    cache = files(tmp_path)
    assert get(cache, "memory://b/a.wav") == b"one"
    store.pipe("/b/a.wav", b"two!")
    assert get(cache, "memory://b/a.wav") == b"one", "a process asks for the version once"
    assert get(files(tmp_path), "memory://b/a.wav") == b"two!"
    with files(tmp_path).copy_of("memory://b/a.wav") as path:
        assert path.suffix == ".wav"


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_stays(store, tmp_path) -> None:
    for name in "abc":
        store.pipe(f"/{name}", name.encode() * 400)
    cache = files(tmp_path, max_gb=900e-9)
    with cache.copy_of("memory://a") as held:
        get(cache, "memory://b")
        get(cache, "memory://c")
        assert held.read_bytes() == b"a" * 400
        assert copies(tmp_path) == [b"a" * 400, b"c" * 400]
    get(cache, "memory://b")
    assert len(copies(tmp_path)) == 2
    assert b"b" * 400 in copies(tmp_path)
    tiny = files(tmp_path / "tiny", max_gb=1e-9)
    assert get(tiny, "memory://a") == b"a" * 400, "larger than the bound, but it is read"
    assert copies(tmp_path / "tiny") == []


def test_a_transfer_that_breaks_leaves_nothing_and_is_tried_again(store, tmp_path, monkeypatch):
    store.pipe("/a.bin", b"x" * 1000)
    calls = []

    def broken(self, remote, local, **_):
        calls.append(remote)
        Path(local).write_bytes(b"x" * 10)
        if len(calls) < 3:
            raise ConnectionError("reset")

    monkeypatch.setattr(type(store), "get_file", broken)
    with pytest.raises(DataError, match="10 bytes came"):
        get(files(tmp_path), "memory://a.bin")
    assert len(calls) == 3
    assert copies(tmp_path) == []
    calls.clear()
    with pytest.raises(DataError, match="cannot be fetched after 2 attempts: ConnectionError"):
        get(files(tmp_path, attempts=2), "memory://a.bin")
    with pytest.raises(DataError, match="no such object"):
        get(files(tmp_path), "memory://missing")


def test_a_store_whose_package_is_missing_says_which(tmp_path, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match="pip install s3fs"):
        get(files(tmp_path), "s3://bucket/a.mp4")


@pytest.fixture
def server(tmp_path_factory):
    """A folder served over HTTP, and how often each of its files was asked for."""
    folder = tmp_path_factory.mktemp("served")
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args) -> None:
            asked.append(f"{self.command} {self.path}")

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{made.server_port}", asked
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_clip_from_a_server_is_read_like_one_on_disk(server, tmp_path) -> None:
    folder, address, _ = server
    clips.make_video(folder / "a.mp4", frames=12, sound_s=0.4)
    transforms = dict.fromkeys(("frame", "audio"), lambda array: array)
    here = Reader(visual="frame").read(Sample("a", folder, {"video": "a.mp4"}), transforms)
    reader = Reader(visual="frame", files=files(tmp_path))
    there = reader.read(Sample("a", tmp_path, {"video": f"{address}/a.mp4"}), transforms)
    for name in ("frame", "audio"):
        np.testing.assert_array_equal(here.arrays[name], there.arrays[name])
    with pytest.raises(DataError, match=r"none\.mp4"):
        reader.read(Sample("a", tmp_path, {"video": f"{address}/none.mp4"}), transforms)


def fetch(folder: str, urls: list[str], found) -> None:
    cache = MediaFiles(folder, max_gb=2500e-9, pause_s=0)
    for _ in range(3):
        for url in urls:
            content = get(cache, url)
            found.put((url, len(content), len(set(content))))


def test_several_processes_share_copies_and_their_bound(server, tmp_path) -> None:
    folder, address, asked = server
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    urls = [f"{address}/{number}.bin" for number in range(4)]
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    orders = (urls, urls[::-1])
    workers = [context.Process(target=fetch, args=(str(tmp_path), o, found)) for o in orders]
    for worker in workers:
        worker.start()
    got = [found.get(timeout=60) for _ in range(24)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert all(size == 1000 and kinds == 1 for _, size, kinds in got)
    assert len(copies(tmp_path)) <= 2
    assert any(each.startswith("GET") for each in asked)
