"""Answers with the readings that a person accepts: how a row of such a file is read and judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.score.scoring import read_answers
from affect_mllm.types import Sample

# What a question or an option list may name, whatever the row is about.
LABELS = {
    "options": {"A": "happy", "B": "sad", "C": "angry", "D": "not sure"},
    "question": "q",
    "question_type": "t",
    "statement": "x",
    "a1": "x",
    "a2": "y",
}
TRUTHS = {
    "eemo_bench_perception": {"answer": "A", "question_type": "What/How"},
    "mvei": {"is_correct": True, "statement_class": "c"},
    "mer2026_track3": {"preference": "a1"},
    "emotion6": {"distribution": {"joy": 1}},
    "mafw_compound": {"emotions": ["anger"]},
    "ov_mer": {"emotions": ["happy"]},
    "emobench_m_mc_eiu": {
        "emotion_intent": "happy_agreeing",
        "emotion": "happy",
        "intent": "agreeing",
    },
    "emobench_m_mustard": {"is_sarcastic": True},
    "emobench_m_fgmsa": {"sentiment_class": "neutral"},
    "eemo_bench_arousal": {"arousal": 0.5},
    "eemo_bench_valence": {"valence": 0.5},
    "emonet_voice": {"intensity_rating": 1.0, "emotion": "joy"},
    "cmu_mosi_intensity": {"sentiment": 1.0},
    "meld_sentiment": {"sentiment": "positive"},
    "iemocap4_closed": {"emotion": "happy"},
}


def labels_of(benchmark: str) -> dict:
    return {**LABELS, **TRUTHS.get(benchmark, {"emotion": "joy"})}


def readings(rows: list[dict], folder: Path) -> list[tuple[str, object]]:
    """Status and value of each row by scoring's own code, through a predictions file."""
    found: list[tuple[str, object]] = [("", None)] * len(rows)
    for name in {row["benchmark"] for row in rows}:
        task = load_task(name)
        places = [place for place, row in enumerate(rows) if row["benchmark"] == name]
        ids = [f"{place:06d}" for place in places]
        samples = [
            Sample(
                id, Path(), split=rows[place].get("split", task.split), labels=rows[place]["labels"]
            )
            for id, place in zip(ids, places, strict=True)
        ]
        path = folder / f"{name}.jsonl"
        lines = [
            json.dumps({"id": id, **rows[place]["prediction"]})
            for id, place in zip(ids, places, strict=True)
        ]
        path.write_text("\n".join(lines))
        read = read_answers(task, samples, read_predictions(path, known_ids=set(ids)))
        for place, status, value in zip(places, read.status, read.answers, strict=True):
            found[place] = (status, value)
    return found


def accepted(status: str, value: object, accept: list[dict]) -> bool:
    return any(
        status == each["status"] and (status != "ok" or _same(value, each["answer"]))
        for each in accept
    )


def _same(found: object, expected: object) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            found.get(name, 0.0) == pytest.approx(expected.get(name, 0.0), abs=1e-6)
            for name in {*expected, *found}
        )
    if isinstance(expected, list):
        return isinstance(found, tuple) and list(found) == expected
    if isinstance(expected, str):
        return found == expected
    return isinstance(found, float) and found == pytest.approx(expected, abs=1e-6)
