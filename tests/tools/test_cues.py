"""`affect-mllm cues`: measured voices and OpenFace's units as sentences of a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_space import Label
from affect_mllm.data.template import Instruction
from affect_mllm.media.openface import UNITS
from affect_mllm.tools.app import main
from affect_mllm.types import Sample


def sound(path: Path, hz: float, level: float) -> None:
    import soundfile

    t = np.arange(16_000) / 16_000
    soundfile.write(path, level * np.sin(2 * np.pi * hz * t), 16_000)


def units(path: Path, shown: dict[int, float], *, success: int = 1) -> None:
    """OpenFace's table of ten frames; `shown` is the share of them that have a unit."""
    names = [f"AU{number:02d}_c" for number in UNITS]
    lines = [", ".join(["frame", "face_id", "timestamp", "confidence", "success", *names])]
    for frame in range(10):
        cells = [float(frame < round(10 * shown.get(number, 0))) for number in UNITS]
        lines.append(", ".join(map(str, [frame, 0, frame / 25, 0.98, success, *cells])))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def rows(tmp_path) -> Path:
    """Six voices of rising pitch and level, a face beside the first two; one of words alone."""
    made = []
    for i in range(6):
        sound(tmp_path / f"{i}.wav", 100 + 30 * i, 0.02 * 2**i)
        media = {"audio": f"{i}.wav"} | ({"faces": f"{i}.csv"} if i < 3 else {})
        labels = {"emotion": "sad" if i < 3 else "happy"}
        made.append(Sample(f"r{i}", tmp_path, media=media, speaker=f"s{i % 2}", split="train",
                           labels=labels))  # fmt: skip
    made.append(Sample("w", tmp_path, subtitle="well", split="test", labels={"emotion": "sad"}))
    units(tmp_path / "0.csv", {12: 0.8, 6: 0.5, 4: 0.2})
    units(tmp_path / "1.csv", {})
    units(tmp_path / "2.csv", {12: 1.0}, success=0)
    manifest.write(made, tmp_path / "m.jsonl")
    label_file.write(tmp_path / "m.jsonl", {"emotion": Label("classes", {"train": 6, "test": 1})})
    return tmp_path / "m.jsonl"


def call(*words: object) -> None:
    with pytest.raises(SystemExit) as left:
        main(["cues", *map(str, words)])
    assert left.value.code == 0


def test_each_row_says_what_is_heard_and_seen(rows: Path) -> None:
    out = rows.with_name("cued.jsonl")
    call(rows, "--out", out)
    said = {row.id: row.labels.get("cues") for row in manifest.read(out)}
    assert said["r0"].startswith("The voice is soft, low in pitch, ")
    assert said["r0"].endswith(" The face shows: lip corner puller, cheek raiser.")
    assert said["r1"].endswith(" The face is still.")
    assert said["r2"].endswith(" No face is seen.")
    assert said["r5"].startswith("The voice is loud, high in pitch, ")
    assert said["w"] is None, "of words alone there is nothing to hear"
    assert label_file.read(out).keys() == {"emotion"}
    call(out, "--out", out)
    assert label_file.read(out).keys() == {"emotion"}, "over itself, too"
    thirds = json.loads(out.with_name("cued.jsonl.cues.json").read_text())
    assert thirds["pitch_hz"] == pytest.approx([150, 200], rel=0.02)


def test_levels_of_other_rows_and_a_speakers_own(rows: Path) -> None:
    call(rows, "--out", rows.with_name("all.jsonl"))
    few = [row for row in manifest.read(rows) if row.id in ("r4", "r5")]
    manifest.write(few, rows.with_name("few.jsonl"))
    like = rows.with_name("all.jsonl.cues.json")
    call(rows.with_name("few.jsonl"), "--out", rows.with_name("b.jsonl"), "--like", like)
    assert all("loud" in row.labels["cues"] for row in manifest.read(rows.with_name("b.jsonl")))
    voices = [row for row in manifest.read(rows) if row.media]
    manifest.write(voices, rows.with_name("voices.jsonl"))
    call(rows.with_name("voices.jsonl"), "--out", rows.with_name("own.jsonl"), "--by", "speaker")
    own = {row.id: row.labels["cues"] for row in manifest.read(rows.with_name("own.jsonl"))}
    assert "low in pitch" in own["r1"], "the lowest of the second speaker"
    assert "high in pitch" in own["r4"], "the highest of the first"


def test_they_go_behind_the_subtitle_or_into_a_question(rows: Path) -> None:
    out = rows.with_name("said.jsonl")
    call(rows, "--out", out, "--into", "subtitle")
    read = {row.id: row for row in manifest.read(out)}
    assert read["r5"].subtitle.startswith("(The voice is loud")
    assert read["w"].subtitle == "well"
    asks = Instruction(("{cues} Which emotion?",), "{emotion}")
    assert asks.labels_used == ["emotion", "cues"], "a row without cues is not asked"
    cued = Sample("x", rows.parent, labels={"cues": "The voice is soft.", "emotion": "sad"})
    question, answer = asks.ask(cued, np.random.default_rng(0))
    assert (question, answer) == ("The voice is soft. Which emotion?", "sad")


def test_what_is_wrong_is_said(rows: Path, capsys) -> None:
    def refused(*words: object) -> str:
        with pytest.raises(SystemExit) as left:
            main(["cues", str(rows), "--out", str(rows.with_name("x.jsonl")), *map(str, words)])
        assert left.value.code != 0
        return capsys.readouterr().err

    assert "--into" in refused("--into", "nowhere")
    assert "no speaker" in refused("--by", "speaker")
    assert "cannot be read" in refused("--like", rows)
    others = rows.with_name("others.json")
    others.write_text('{"volume": [0, 1]}')
    assert "volume" in refused("--like", others)
    (rows.parent / "0.csv").write_text("frame, timestamp\n1, 0\n")
    assert "action units (-aus)" in refused()
