"""Media in publishers' folders: which file is whose, without macOS's and other hidden files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from recipe import Inputs

from affect_mllm.media.folder import entries
from affect_mllm.types import DataError

VIDEO = (".mp4", ".avi", ".flv", ".mkv", ".webm", ".mov")
AUDIO = (".wav", ".mp3", ".flac", ".m4a")
IMAGE = (".jpg", ".jpeg", ".png")


def need_folder(folder: Path, *names: str) -> Path:
    """The first of the folders `names` below `folder` that is there; DataError if none is."""
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise DataError(
        str(folder),
        f"no folder {' or '.join(map(repr, names))} in it",
        fix="give the folder as the publisher distributes it, with its archives unpacked",
    )


def index(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Name without ending → file, for the files right in `folder`; {} where it is not there.

    Hidden files are left out (`._x.mp4` is what macOS puts into archives). DataError where two
    files differ in their ending only.
    """
    wanted, found = set(suffixes), dict[str, Path]()
    if not folder.is_dir():
        return found
    for path in entries(folder):
        if path.suffix.lower() not in wanted:
            continue
        if path.stem in found:
            raise DataError(
                str(folder), f"two files of one name: {found[path.stem].name}, {path.name}"
            )
        found[path.stem] = path
    return found


class Clips:
    """A folder in MERTools' form: `video/NAME.mp4`, and where there are, `audio/NAME.wav` and
    `openface_face/NAME/NAME.npy`, OpenFace's aligned crops (MERBench's extract_openface.py): uint8
    [frames, height, width, 3] in OpenCV's order, blue first.
    """

    def __init__(self, inputs: Inputs, *, videos: str = "video", sounds: str = "audio") -> None:
        """`videos`, `sounds`: folders below `inputs.media_root`; DataError without the first."""
        self._root = inputs.media_root
        self._folder = inputs.media_folder(videos)
        self._videos = index(self._folder, VIDEO)
        self._sounds = index(self._root / sounds, AUDIO)

    def of(self, name: str) -> dict[str, Path]:
        """Kind of medium → file; a video that is not there keeps the name it should have."""
        media = {"video": self._videos.get(name, self._folder / f"{name}.mp4")}
        if name in self._sounds:
            media["audio"] = self._sounds[name]
        faces = self._root / "openface_face" / name / f"{name}.npy"
        return media | ({"faces": faces} if faces.is_file() else {})


def spread(root: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Name without ending → file, for the files in `root` and in the folders right below it.

    DataError where two of them have the same name.
    """
    found: dict[str, Path] = {}
    for folder in [root, *(path for path in entries(root) if path.is_dir())]:
        for name, path in index(folder, suffixes).items():
            if name in found:
                raise DataError(str(root), f"two files of one name: {found[name]}, {path}")
            found[name] = path
    return found
