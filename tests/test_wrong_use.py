"""Wrong use in any order: each ends with one message and its code, and no file is left over.

Twenty seeded orders of the same situations in one place, through the command line's entry point.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.tools import app

SEEDS = range(20)
CSV = "file,split,sentiment\na.mp4,train,positive\nb.wav,train,-1\n"


def prepared(folder: Path) -> None:
    """Everything that the situations read, and a file where a folder is expected."""
    clips = folder / "clips"
    clips.mkdir()
    for name in ("a.mp4", "b.wav"):
        (clips / name).touch()
    (folder / "mixed.csv").write_text(CSV)
    (folder / "missing.csv").write_text("file,split\nnone.mp4,train\n")
    (folder / "file").write_text("not a folder")
    rows = [{"id": "a", "subtitle": "well", "split": "test", "labels": {"emotion": "happy"}}]
    manifest.write(rows, folder / "m.jsonl")
    for name, said in (("answers", "happy"), ("half_answers", "happy \ud83d")):
        (folder / f"{name}.jsonl").write_text(json.dumps({"id": "a", "response": said}) + "\n")
    (folder / "half.jsonl").write_text(json.dumps({"id": "a", "subtitle": "\ud83d"}) + "\n")
    (folder / "rooted.jsonl").write_bytes((folder / "m.jsonl").read_bytes())
    (folder / "rooted.jsonl.media_root.json").write_text('{"media_root": "/"}')


def situations(folder: Path) -> dict[str, tuple[list[str], int, str]]:
    """By name: the command line, its exit code, and words of its message."""
    made = ["manifest", "--media-root", str(folder / "clips"), "--csv"]
    score = ["score", "--benchmark", "synthetic", "--manifest", str(folder / "m.jsonl")]
    train = ["train", "experiment=demo", f"data.manifest={folder / 'm.jsonl'}"]
    run = f"run_dir={folder / 'run'}"
    bomb = f"{{_target_: os.mkdir, path: {folder / 'bomb'}}}"
    return {
        "mixed types": ([*made, f"{folder}/mixed.csv", "--out", f"{folder}/x.parquet"], 1,
                        "number in line 2"),
        "missing media": ([*made, f"{folder}/missing.csv"], 1, "video is missing"),
        "out is a folder": ([*made, f"{folder}/mixed.csv", "--out", f"{folder}/file/x.jsonl"], 1,
                            "cannot be written"),
        "log in a file": ([*score, "--predictions", f"{folder}/answers.jsonl", "--log",
                           f"{folder}/file/log.jsonl"], 1, "file"),
        "half an answer": ([*score, "--predictions", f"{folder}/half_answers.jsonl", "--log",
                            f"{folder}/log.jsonl"], 1, "1 bad rows"),
        "half a character": (["validate", f"{folder}/half.jsonl"], 1, "half a character"),
        "the whole disk": (["validate", f"{folder}/rooted.jsonl"], 1, "media_root /"),
        "poisoned": ([*train, run, f"++stages.align.schedule.extra={bomb}"], 2, "os.mkdir"),
        "run_dir is a file": ([*train, f"run_dir={folder}/file"], 2, "cannot be written"),
        "no experiment": (["cache", f"{folder}/m.jsonl"], 2, "experiment"),
    }  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    prepared(folder)
    return folder


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_left_over_in_any_order(
    place: Path, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before, known = contents(place), situations(place)
    names = sorted(known)
    random.Random(seed).shuffle(names)
    for name in names:
        argv, code, words = known[name]
        with pytest.raises(SystemExit) as left:
            app.main(argv)
        said = "".join(capfd.readouterr())
        assert left.value.code == code, (name, said)
        assert words in said, (name, said)
        assert "Traceback" not in said, name
        assert contents(place) == before, name
