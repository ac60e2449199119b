"""Benchmark `perception` asked of a checkpoint: what is said of a sense that a view hides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.main import main
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import score
from affect_mllm.types import Batch, ExitCode, Sample

VIEWS = {"face+audio+text": (1, 1), "face+text": (14, 1), "audio+text": (1, 14)}
SAID = ("Her voice trembles and she frowns.", "She looks happy to me.", "A loud voice.")


def written(asker: Asker, batch: Batch) -> list[dict[str, Any]]:
    """What a tiny model cannot say: by turns of voice and face, of neither, of the voice."""
    told = [SAID[int(name[-1]) % 3] for name in batch.sample_ids]
    return [{"response": each, "finish_reason": "stop", "gate": {}} for each in told]


def grounded(row: dict[str, Any]) -> bool:
    shown = {"audio" if name == "audio" else "face" for name in {*row["modalities"]} - {"text"}}
    said = {"audio"} if "voice" in row["response"] else set()
    said |= {"face"} if "frowns" in row["response"] else set()
    return said <= shown and bool(said) == bool(shown)


def test_claims_count_where_the_prediction_was_shown_nothing(
    tiny, tiny_run, tmp_path, monkeypatch
) -> None:
    """Of 14 clips one has no sound and one no picture."""
    monkeypatch.setattr(Asker, "_written", written)
    given = [f"checkpoint={tiny_run / 'instruct/final'}", f"run_dir={tmp_path}"]
    given += [
        f"manifest={tiny.root / 'manifest.jsonl'}",
        f"cache_dir={tiny.root / 'eval_features'}",
    ]
    given += ["benchmark=perception", f"subsets=[{','.join(VIEWS)}]"]
    assert main(given) == ExitCode.DONE
    run = json.loads((tmp_path / "results.json").read_text())["runs"]["perception"]
    for view, hidden in VIEWS.items():
        metrics = run["variants"][view]["metrics"]
        text = Path(tmp_path, run["predictions"][view]).read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert len(rows) == 14
        names = ("unfounded_voice", "unfounded_face")
        assert tuple(metrics[name]["n"] for name in names) == hidden
        heard = ["voice" in row["response"] for row in rows]
        muted = [
            said for said, row in zip(heard, rows, strict=True) if "audio" not in row["modalities"]
        ]
        found = {name: metrics[name]["value"] for name in metrics}
        assert found["unfounded_voice"] == pytest.approx(sum(muted) / len(muted), abs=1e-6)
        assert found["speaks_of_voice"] == pytest.approx(sum(heard) / 14, abs=1e-6)
        assert found["grounded"] == pytest.approx(sum(map(grounded, rows)) / 14, abs=1e-6)
        frowns = sum("frowns" in row["response"] for row in rows)
        assert found["speaks_of_face"] == pytest.approx(frowns / 14, abs=1e-6)
    assert run["variants"]["audio+text"]["metrics"]["unfounded_face"]["value"] == pytest.approx(
        frowns / 14, abs=1e-6
    )


def test_an_answer_that_failed_or_is_missing_counts_as_not_grounded(tmp_path) -> None:
    rows = [Sample(name, tmp_path, {"audio": "a.wav"}, split=None, labels={}) for name in "abcd"]
    said = [
        Prediction("a", "Her voice trembles.", modalities=("audio",)),
        Prediction("b", "Her voice trembles."),  # nobody says what was shown
        Prediction("c", ""),  # a request that failed
    ]
    found = score(load_task("perception"), rows, said)["metrics"]["grounded"]
    assert (found["value"], found["n"]) == (pytest.approx(1 / 3), 3)
