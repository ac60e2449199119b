"""Pictures as they are found: scaled, refused by name, and never handed to another program."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from affect_mllm.media import still
from affect_mllm.media.audio import read_audio
from affect_mllm.media.video import probe, read_image
from affect_mllm.types import DataError


def test_sixteen_bits_are_scaled_and_values_without_a_scale_refused(tmp_path) -> None:
    deep = np.array([[0, 0x4000], [0x8000, 0xFFFF]], ">u2")
    (tmp_path / "deep.pgm").write_bytes(b"P5 2 2 65535\n" + deep.tobytes())
    assert read_image(tmp_path / "deep.pgm")[..., 0].tolist() == [[0, 64], [128, 255]]
    for kind, said in ((np.float32, "floats"), (np.int32, "32-bit numbers")):
        Image.fromarray(np.ones((2, 2), kind)).save(tmp_path / "x.tiff")
        with pytest.raises(DataError, match=said):
            read_image(tmp_path / "x.tiff")


def test_postscript_starts_no_ghostscript(tmp_path, monkeypatch) -> None:
    from PIL import EpsImagePlugin

    def started(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.eps")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_image(tmp_path / "x.eps")


def test_more_pixels_than_memory_is_kept_for_are_refused_before_decoding(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(still, "MOST_PIXELS", 99)
    Image.new("RGB", (10, 10)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="10 × 10 pixels"):
        read_image(tmp_path / "x.png")


def test_what_a_decoder_raises_of_its_own_becomes_ours(tmp_path, monkeypatch) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    for error in (RuntimeError("deep inside"), NotImplementedError(), IndexError("0")):

        def fails(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(still, "_rgb", fails)
        with pytest.raises(DataError, match="cannot be read as a picture"):
            read_image(tmp_path / "x.png")


@pytest.mark.parametrize("read", [read_image, read_audio, probe])
def test_a_pointer_of_git_lfs_is_named_with_the_way_out(tmp_path, read) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (tmp_path / "a.wav").write_text(pointer)
    with pytest.raises(DataError, match=r"git-lfs(.|\n)*git lfs pull"):
        read(tmp_path / "a.wav")


def test_pictures_of_others() -> None:
    if "AFFECT_REFERENCE_DIR" not in os.environ:
        pytest.skip("AFFECT_REFERENCE_DIR is not set")
    folder = Path(os.environ["AFFECT_REFERENCE_DIR"]) / "media"
    assert read_image(folder / "hopper_16bit.pgm").mean() == pytest.approx(84, abs=1)
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_image(folder / "no-pitm.avif")
    with pytest.raises(DataError, match="git-lfs"):
        read_audio(folder / "crema_d_lfs_pointer.wav")
