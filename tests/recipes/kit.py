"""What the fixtures are made with: media files, tables, label archives, and running a recipe."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from typer.testing import CliRunner

from tests.media import clips

SUBSET = "--allow-count-mismatch"


class Kit:
    """Copies of one short clip (with sound), one sound and one picture, no two of equal bytes."""

    def __init__(self, folder: Path) -> None:
        self._video = clips.make_video(folder / "clip.mp4", frames=6, sound_s=0.3)
        self._avi = clips.make_video(folder / "clip.avi", frames=60, sound_s=2.4)
        with av.open(str(self._video)) as source:  # Flash knows no negative time stamps
            self._flv = clips.remux(source, folder / "clip.flv", shift_s=0.2)
        self._sound = clips.make_sound(folder / "sound.wav", duration_s=0.2)
        self._image = clips.make_image(folder / "image.jpg")
        self._count = 0

    def picture(self) -> bytes:
        """The bytes of a picture like no other one."""
        self._count += 1
        return self._image.read_bytes() + self._count.to_bytes(16, "big")

    def put(self, *paths: Path) -> None:
        """A media file at each path, of the kind that its ending says."""
        of = {".mp4": self._video, ".avi": self._avi, ".flv": self._flv}
        of |= {".wav": self._sound, ".jpg": self._image}
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._count += 1
            number = self._count.to_bytes(16, "big")
            # A chunk that readers pass over, so that no two clips of a fixture are the same.
            ends = {".mp4": b"\0\0\0\x18free", ".avi": b"JUNK\x10\0\0\0", ".wav": b"junk\x10\0\0\0"}
            path.write_bytes(of[path.suffix].read_bytes() + ends.get(path.suffix, b"") + number)


@dataclass(frozen=True)
class Made:
    """A fixture: the recipe's arguments, a file without which it must refuse, rows expected.

    `named`: names of files are the labels, and there is no table. `table` is then a medium that is
    not there, whose name has another form. `counted`: exact counts are published. `unpacks`: media
    come out of the table, again where they are gone.
    """

    args: list[str]
    table: Path
    rows: int
    named: bool = False
    counted: bool = True
    unpacks: bool = False


def write(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    """A text file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def table(path: Path, header: Sequence[str], *rows: Sequence[Any], bom: bool = False) -> Path:
    """A CSV with the quoting that pandas uses."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return write(path, out.getvalue(), encoding="utf-8-sig" if bom else "utf-8")


def workbook(path: Path, *rows: Sequence[Any]) -> Path:
    """An XLSX file with these rows."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in rows:
        sheet.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def corpora(path: Path, splits: Mapping[str, Mapping[str, Any]]) -> Path:
    """A label archive as MERTools saves it: object arrays of dictionaries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = {f"{split}_corpus": corpus for split, corpus in splits.items()}
    np.savez_compressed(path, **named)
    return path


def crops(root: Path, *names: str) -> None:
    """OpenFace's aligned crops of some clips, as MERTools keeps them."""
    for name in names:
        path = root / "openface_face" / name / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.zeros((3, 8, 8, 3), np.uint8))


@dataclass(frozen=True)
class Ran:
    """What a recipe did: exit code, what it printed where, and the rows it wrote."""

    code: int
    out: str
    err: str
    manifests: list[Path]

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of the one manifest, by id, in its order."""
        (path,) = self.manifests
        made = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return {row["id"]: row for row in made}


def run(name: str, args: Iterable[str], root: Path) -> Ran:
    """Run a recipe's command; the manifests are those below `root`."""
    done = CliRunner().invoke(importlib.import_module(name).APP, list(args))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ran(done.exit_code, done.stdout, done.stderr, sorted(root.rglob("manifest*.jsonl")))
