"""The file that names the media's folder changes together with its manifest, or neither does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.data import manifest, rows
from affect_mllm.types import DataError, Sample

ROWS = {name: [{"id": name, "video": "a.mp4"}] for name in ("old", "new")}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Each has the file that the rows name, so that a wrong folder would pass unnoticed."""
    made = {name: tmp_path / name for name in ("beside", "a", "b")}
    for folder in made.values():
        folder.mkdir()
        (folder / "a.mp4").touch()
    return made


def at_change(number: int, act: Callable[[], None]) -> None:
    """From now on `act` happens before the change of this number of what a folder holds."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*given: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                act()
            return real(*given, **options)

        return change

    os.replace, Path.unlink = counted(os.replace), counted(Path.unlink)  # type: ignore[assignment]


def fail() -> None:
    raise OSError(5, "Input/output error")


def written_by_a_child(number: int, act: Callable[[], None], out: Path, root: Path | None) -> int:
    """The exit code of a process that writes the new rows while `act` comes in between."""
    child = os.fork()
    if child == 0:
        code = 3  # a traceback
        try:
            at_change(number, act)
            manifest.write(ROWS["new"], out, media_root=root)
            code = 0
        except DataError:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_unless_cut_off(out: Path) -> Sample | None:
    try:
        return manifest.read(out)[0]
    except DataError as error:
        if "was cut off" not in str(error):
            raise
        return None


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize(
    ("old", "new"), [("beside", "a"), ("a", "beside"), ("a", "b"), ("a", "a"), ("beside", "beside")]
)
def test_rows_never_stand_beside_the_folder_of_others(
    folders: dict[str, Path], old: str, new: str, killed: bool
) -> None:
    out = folders["beside"] / "m.jsonl"
    roots = {name: None if name == "beside" else folders[name] for name in (old, new)}
    right = {"old": folders[old], "new": folders[new]}
    for number in range(1, 6):
        manifest.write(ROWS["old"], out, media_root=roots[old])
        names = sorted(each.name for each in folders["beside"].iterdir())
        code = written_by_a_child(
            number, (lambda: os._exit(9)) if killed else fail, out, roots[new]
        )
        sample = read_unless_cut_off(out)
        assert code in (0, 9 if killed else 1)
        assert sample is not None or code != 0
        assert sample is None or sample.root == right[sample.id]
        if code == 1 and sample is not None:
            assert sample.id == "old"
            assert sorted(each.name for each in folders["beside"].iterdir()) == names
        manifest.write(ROWS["new"], out, media_root=roots[new])  # as the message advises
        assert manifest.read(out)[0].root == right["new"]
        if code == 0:
            break
    else:
        pytest.fail("the writing never came to its end")


def test_a_folder_whose_name_is_not_utf8(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    media = Path(os.fsdecode(os.fsencode(folders["a"]) + b"\xe9"))
    folders["a"].rename(media)
    out = folders["beside"] / "m.jsonl"
    manifest.write(ROWS["new"], out, media_root=media)
    monkeypatch.setattr(rows, "KEPT_FROM_BYTES", 0)
    for _ in range(2):  # checked, then as it was kept
        assert manifest.read(out)[0].path("video").samefile(media / "a.mp4")
    assert len(list(folders["beside"].glob(".*"))) == 0


@pytest.mark.parametrize("text", [b'{"media_root": "/m\xe9dia"}', b"\xff\xfe", b"[]"])
def test_a_file_beside_it_that_is_not_utf8_is_refused(
    folders: dict[str, Path], text: bytes
) -> None:
    out = folders["beside"] / "m.jsonl"
    manifest.write(ROWS["new"], out)
    (folders["beside"] / "m.jsonl.media_root.json").write_bytes(text)
    with pytest.raises(DataError, match=r"media_root\.json: media_root"):
        manifest.read(out)
