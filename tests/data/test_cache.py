"""The feature cache: nothing stale can be found, nothing half-written can be read."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from affect_mllm.data import cache as cache_module
from affect_mllm.data.cache import FeatureCache
from affect_mllm.data.faces import Faces
from affect_mllm.data.features import Features, ensure
from affect_mllm.data.reader import Reader
from affect_mllm.data.settings import DataSettings
from affect_mllm.data.shards import Entry
from affect_mllm.media import content
from affect_mllm.media.augment import AugmentedPictures
from affect_mllm.media.remote import MediaFiles
from affect_mllm.media.sampling import Sampling
from affect_mllm.types import ConfigError, DataError, Sample

STATES = {"face": np.arange(6, dtype=np.float32).reshape(3, 2)}


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    (tmp_path / "a.mp4").write_bytes(b"some bytes")
    return Sample("a", tmp_path, {"video": "a.mp4"})


@pytest.fixture
def cache(tmp_path: Path, sample: Sample) -> FeatureCache:
    made = FeatureCache(tmp_path / "cache", {"frames": 8})
    made.put(sample, STATES, ("a: no sound",))
    made.flush()
    return made


def opened(cache: FeatureCache, settings: dict | None = None, **more) -> FeatureCache:
    """The same cache as another process opens it."""
    return FeatureCache(cache.root, settings or {"frames": 8}, **more)


def shards(cache: FeatureCache) -> list[Path]:
    return sorted(cache.root.glob("shards/*.safetensors"))


def held(cache: FeatureCache, sample: Sample) -> Entry:
    """The entry that must be there."""
    found = cache.get(sample)
    assert found is not None
    return found


def cuts(sample: Sample, count: int) -> list[Sample]:
    """Rows about parts of one clip, each with states of its own."""
    return [replace(sample, id=str(i), start_s=float(i)) for i in range(count)]


def test_what_was_put_is_found_before_and_after_it_is_written(cache, sample) -> None:
    later = replace(sample, start_s=1.0)
    cache.put(later, {"audio": np.ones((1, 4))})
    for each in (cache, opened(cache), pickle.loads(pickle.dumps(cache))):
        found = held(each, sample)
        assert found.states["face"].tolist() == STATES["face"].tolist()
        assert found.warnings == ("a: no sound",)
    assert cache.has(later)
    assert not opened(cache).has(later), "not written yet"
    cache.flush()
    assert held(opened(cache), later).states["audio"].shape == (1, 4)


def test_clips_of_a_shard_keep_their_own_states_and_modalities(cache, sample) -> None:
    rng = np.random.default_rng(0)
    rows, made = cuts(sample, 20), []
    for number, row in enumerate(rows):
        states = {"audio": rng.random((number % 4 + 1, 3)).astype(np.float16)}
        if number % 3:
            states["face"] = rng.random((2, 5)).astype(np.float16)
        made.append(states)
        cache.put(row, states, (f"warning {number}",) * (number % 2))
    cache.flush()
    assert len(shards(cache)) == 2
    for number in np.random.default_rng(1).permutation(20):
        found = held(opened(cache), rows[number])
        assert set(found.states) == set(made[number])
        for name, array in made[number].items():
            np.testing.assert_array_equal(found.states[name], array)
        assert found.warnings == (f"warning {number}",) * (number % 2)


def test_another_row_about_the_same_bytes_shares_the_entry(cache, sample) -> None:
    os.rename(sample.root / "a.mp4", sample.root / "b.mp4")
    assert cache.get(Sample("b", sample.root, {"video": "b.mp4"}, subtitle="x")) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"start_s": 0.5},
        {"end_s": 1.0},
        {"peak_s": 1.0},
        {"frames_fps": 1.0},
        {"face_boxes": ((0.0, 0.0, 5.0, 5.0),), "face_times_s": (0.0,)},
        {"media": {"audio": "a.mp4"}},
    ],
)
def test_another_cut_box_or_kind_is_not_found(cache, sample, change) -> None:
    assert cache.get(replace(sample, **change)) is None


def test_other_bytes_are_not_found_even_of_the_same_length(cache, sample) -> None:
    path = sample.path("video")
    before = path.stat()
    path.write_bytes(b"some_bytes")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert cache.get(sample) is None
    assert opened(cache).get(sample) is None


def test_other_settings_are_not_found(cache, sample) -> None:
    assert opened(cache, {"frames": 9}).get(sample) is None
    assert opened(cache, dtype="float32").get(sample) is None
    assert opened(cache).get(sample) is not None


def test_every_setting_of_the_reader_and_the_encoders_decides(tiny, tmp_path) -> None:
    data = replace(tiny.data, cache_dir=str(tmp_path))
    sample = tiny.samples[0]

    def key(reader: dict, print_: str = "x") -> bytes:
        features = replace(data, reader=replace(data.reader, **reader)).features(
            {}, {"face": print_}
        )
        assert features.cache is not None
        return features.cache.key(sample)

    changes = [
        {}, {"sampling": Sampling(frames=3)}, {"sampling": Sampling(frames=2, place="start")},
        {"faces": Faces(size=9)}, {"faces": Faces(margin=0.5)}, {"visual": "frame"},
        {"faces": Faces(detector="asset:mtcnn")}, {"faces": Faces(person="longest")},
        {"faces": Faces(array_colors="bgr")}, {"backend": "pyav"}, {"features": False},
    ]  # fmt: skip
    keys = [key(change) for change in changes] + [key({}, "y")]
    assert len(set(keys)) == len(keys)
    assert key({}) == keys[0]
    assert key({"files": MediaFiles("elsewhere")}) == keys[0], "where copies lie changes nothing"


def test_a_file_is_hashed_once_for_all_processes(cache, sample, monkeypatch) -> None:
    def refuse(_path):
        raise AssertionError("hashed again")

    monkeypatch.setattr(content, "content_hash", refuse)
    assert opened(cache).get(sample) is not None
    sample.path("video").write_bytes(b"other")
    with pytest.raises(AssertionError, match="hashed again"):
        opened(cache).get(sample)


def test_without_its_memory_of_hashes_the_cache_still_finds_everything(cache, sample) -> None:
    (cache.root / "contents.sqlite").write_bytes(b"not a database at all" * 100)
    assert opened(cache).get(sample) is not None


def test_an_object_of_a_store_is_found_by_its_content(cache, sample, tmp_path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/clip.mp4", b"some bytes")
    row = Sample("r", tmp_path, {"video": "memory://clip.mp4"})
    files = MediaFiles(str(tmp_path / "copies"))
    assert opened(cache, files=files).get(row) is not None
    shutil.rmtree(tmp_path / "copies")
    assert opened(cache, files=files).get(row) is not None
    assert not (tmp_path / "copies").exists(), "fetched again to find what is known"
    fs.store.clear()


def test_a_kill_while_writing_leaves_no_entry(cache, sample, tmp_path) -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from affect_mllm.data.cache import FeatureCache\n"
        "from affect_mllm.types import Sample\n"
        "os.replace = lambda *a: os._exit(9)\n"
        f"s = Sample('a', Path({str(sample.root)!r}), {{'video': 'a.mp4'}}, start_s=1.0)\n"
        f"c = FeatureCache(Path({str(cache.root)!r}), {{'frames': 8}})\n"
        "c.put(s, {'x': np.ones((3, 1))}); c.flush()\n"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 9
    later = replace(sample, start_s=1.0)
    assert cache.get(later) is None
    cache.put(later, STATES)
    cache.flush()
    assert opened(cache).get(later) is not None


def test_a_damaged_shard_and_a_missing_file_say_so(cache, sample) -> None:
    (path,) = shards(cache)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="delete this file"):
        opened(cache).get(sample)
    sample.path("video").unlink()
    with pytest.raises(DataError, match=r"a\.mp4"):
        cache.get(sample)


def test_of_two_entries_the_newer_one_counts(cache, sample) -> None:
    cache.put(sample, {"face": np.zeros((1, 2))})
    cache.flush()
    for each in (cache, opened(cache)):
        assert held(each, sample).states["face"].tolist() == [[0, 0]]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from affect_mllm.data.cache import FeatureCache
from affect_mllm.types import Sample
root, first = Path(sys.argv[1]), int(sys.argv[2])
cache = FeatureCache(root / "cache", {"frames": 8})
for number in range(first, first + 40):
    row = Sample("r", root, {"video": "a.mp4"}, start_s=float(number))
    cache.put(row, {"x": np.full((2, 2), number)})
    if number % 7 == 0:
        cache.flush()
cache.flush()
"""


def test_several_writers_share_a_cache(cache, sample) -> None:
    command = [sys.executable, "-c", WRITER, str(sample.root)]
    root = Path(__file__).parents[2]
    running = [subprocess.Popen([*command, str(first)], cwd=root) for first in (0, 20, 40)]
    assert [process.wait(timeout=600) for process in running] == [0, 0, 0]
    for number in range(80):
        found = cache.get(replace(sample, start_s=float(number)))
        assert found.states["x"].tolist() == [[number] * 2] * 2


def test_a_bounded_cache_removes_what_was_used_longest_ago_and_says_it(
    cache, sample, caplog
) -> None:
    caplog.set_level("INFO", logger="affect_mllm")
    bounded = opened(cache, max_gb=3000e-9)
    rows = cuts(sample, 3)
    for row in rows[:2]:
        bounded.put(row, {"x": np.ones((100, 4))})
        bounded.flush()
    old = time.time() - 2 * cache_module.IN_USE_S
    for number, path in enumerate(shards(cache)):
        os.utime(path, (old + number, old + number))
    first = shards(cache)[0]
    assert opened(cache).get(rows[0]) is not None  # is used, so it is not the oldest any more
    bounded.put(rows[2], {"x": np.ones((100, 4))})
    bounded.flush()
    assert first.name in caplog.text
    assert "removed" in caplog.text
    kept = opened(cache)
    assert [kept.has(row) for row in (sample, *rows)] == [False, True, False, True]


def test_a_cache_that_is_full_of_what_is_in_use_refuses_more(cache, sample) -> None:
    bounded = opened(cache, max_gb=500e-9)
    bounded.put(replace(sample, start_s=3.0), {"x": np.ones((100, 4))})
    with pytest.raises(ConfigError, match="cache_max_gb"):
        bounded.flush()


def test_states_too_large_for_half_precision_are_refused(cache, sample) -> None:
    with pytest.raises(ConfigError, match="cache_dtype=float32"):
        cache.put(sample, {"x": np.array([[7e4]])})
    wide = opened(cache, dtype="float32")
    wide.put(sample, {"x": np.array([[7e4, 1e-7]])})
    assert held(wide, sample).states["x"].tolist() == [[7e4, np.float32(1e-7)]]


def test_states_that_are_no_numbers_are_never_kept_and_never_served(cache, sample) -> None:
    broken = {"frame": np.array([[1.0, np.nan]], np.float32)}
    sample = replace(sample, peak_s=1.0)
    features = Features(Reader(visual="frame"), {}, cache)
    failed = features.fill([sample], lambda _: broken, done=lambda: None)
    assert "frame: values that are not finite" in str(failed[sample.id])
    assert not cache.has(sample)
    cache.put(sample, broken)  # as an earlier release did
    with pytest.raises(DataError, match="delete the cache"):
        features.clip(sample)


def test_a_cache_of_what_is_random_is_refused() -> None:
    random = AugmentedPictures(then=np.asarray)
    with pytest.raises(ConfigError, match="transform of face is random"):
        DataSettings({}, cache_dir="x").features({"face": random}, {})
    features = DataSettings({}).features({"face": random}, {})
    assert features.transforms == {"face": random}


def test_what_was_computed_before_a_stop_is_kept(sample, tmp_path) -> None:
    from tests.media import clips

    clips.make_image(tmp_path / "p.png")
    rows = [Sample(f"{i}", tmp_path, {"image": "p.png"}, peak_s=float(i)) for i in range(6)]
    made = DataSettings({}, reader=Reader(visual="frame"), cache_dir=str(tmp_path / "c"))
    features = made.features({"image": lambda images: images}, {})
    calls: list[int] = []

    def encode(_arrays):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return {"image": np.ones((1, 2), np.float32)}

    with pytest.raises(KeyboardInterrupt):
        ensure(features, rows, encode, max_bad_fraction=0)
    again = made.features({"image": lambda images: images}, {})
    assert sum(not again.lacks(row) for row in rows) >= 3


def test_all_ranks_hear_of_bad_rows_and_of_what_stops_one(sample) -> None:
    features = Features(Reader(), {"frame": np.asarray}, FeatureCache(sample.root / "c", {}))

    def gather_with(others):
        return lambda said: [said, others.pop(0)]

    # The other rank: 1 missing, of 9 rows, one unreadable.
    with pytest.raises(DataError, match=r"2 of 10 clips(.|\n)*a\.mp4(.|\n)*theirs"):
        ensure(
            features, [sample], dict, max_bad_fraction=0.1,
            gather=gather_with([((1, 9), None), ({"b": "theirs"}, None)]),
        )  # fmt: skip
    ensure(
        features, [sample], dict, max_bad_fraction=0.2,
        gather=gather_with([((1, 9), None), ({"b": "theirs"}, None)]),
    )  # fmt: skip
    with pytest.raises(DataError, match="OSError: disk"):
        ensure(
            features, [sample], dict, max_bad_fraction=1,
            gather=gather_with([((1, 9), None), ({}, "OSError: disk")]),
        )  # fmt: skip


def test_a_torn_shard_is_named_and_hides_no_other(cache, sample) -> None:
    (torn,) = shards(cache)
    later = replace(sample, start_s=1.0)
    cache.put(later, STATES)
    cache.flush()
    torn.write_bytes(torn.read_bytes()[:20])
    again = opened(cache)
    features = Features(Reader(), {}, again)
    with pytest.raises(DataError, match=rf"{torn.name}(.|\n)*delete this file"):
        features.lacks(later)
    assert not features.lacks(later), "a later shard of the same pass"
    torn.unlink()
    assert [opened(cache).has(row) for row in (sample, later)] == [False, True]


def test_all_ranks_hear_of_a_torn_shard_before_any_computes(cache, sample) -> None:
    (torn,) = shards(cache)
    torn.write_bytes(torn.read_bytes()[:20])
    told: list[tuple[object, str | None]] = []

    def gather(said):
        told.append(said)
        return [said, ((0, 5), None)]

    features = Features(Reader(), {}, opened(cache))
    with pytest.raises(DataError, match=torn.name):
        ensure(features, [sample], dict, max_bad_fraction=1, gather=gather)
    ((_, reason),) = told
    assert reason is not None
    assert torn.name in reason
    whole = Features(Reader(), {}, FeatureCache(sample.root / "other", {}))
    with pytest.raises(DataError, match="their shard"):
        ensure(
            whole, [], dict, max_bad_fraction=1,
            gather=lambda said: [said, ((0, 5), "DataError: their shard")],
        )  # fmt: skip
