"""HEIC and AVIF are pictures; a file that is not there is guessed at by what is."""

from __future__ import annotations

import importlib.util
import sys
import unicodedata
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from affect_mllm.media import heif, near
from affect_mllm.media.container import check_file
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.video import probe, read_frames, read_image
from affect_mllm.types import DataError
from tests.media import clips

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


@pytest.fixture
def heic(tmp_path: Path) -> Path:
    path = tmp_path / "photo.heic"
    path.write_bytes(HEIC + bytes(64))
    return path


def test_avif_is_a_picture_and_not_a_video_of_one_frame(tmp_path: Path) -> None:
    drawn = clips.picture(1, 3)
    path = tmp_path / "photo.avif"
    Image.fromarray(drawn).save(path, quality=100)
    found = probe(path)
    assert (found.kind, found.width, found.height) == ("image", 64, 48)
    assert np.abs(read_image(path).astype(int) - drawn).mean() < 4
    with pytest.raises(DataError, match="a picture, not a video"):
        read_frames(path, Sampling(frames=1))


def test_heic_without_its_reader_names_the_format_and_what_to_install(heic, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DataError, match=r"HEIC.*\n.*\n.*pip install 'affect-mllm\[heic\]'"):
        read_image(heic)


def test_heic_is_read_by_the_reader_that_is_installed(heic, monkeypatch) -> None:
    known = ModuleType("pillow_heif")
    registered: list[str] = []
    known.register_heif_opener = lambda: registered.append("heic")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", known)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    heif.admit(heic)
    assert registered == ["heic"]
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_image(heic)  # this one has a header alone


def test_a_file_that_is_not_there_is_guessed_at(tmp_path: Path, monkeypatch) -> None:
    composed = unicodedata.normalize("NFC", "Zoë")
    apart = unicodedata.normalize("NFD", "Zoë")
    folder = tmp_path / composed
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for given in (f"{composed}\\clip.mp4", f"{apart}/clip.mp4", f"{apart}\\clip.mp4"):
        with pytest.raises(DataError) as refused:
            check_file(Path(given))
        meant = refused.value.fix.removeprefix("did you mean ").removesuffix("?")
        check_file(Path(meant))
    with pytest.raises(DataError, match=r"did you mean .*clip\.mp4\?"):
        check_file(folder / "clip.mp3")
    with pytest.raises(DataError, match="correct the path"):
        check_file(folder / "another name altogether.wav")
    with pytest.raises(DataError, match="correct the path"):
        check_file(Path("nowhere/at/all.mp4"))


def test_a_slip_is_not_looked_for_among_thousands(tmp_path: Path, monkeypatch) -> None:
    for number in range(4):
        (tmp_path / f"clip{number}.mp4").touch()
    assert near.near(tmp_path / "clip0.mp3") == tmp_path / "clip0.mp4"
    assert near.near(tmp_path / "clip0.mp3", slips=False) is None
    monkeypatch.setattr(near, "NAMES_COMPARED", 3)
    assert near.near(tmp_path / "clip0.mp3") is None
