"""Samples and predictions with known errors, and a whole run directory, for tests of scoring."""

from __future__ import annotations

import json
from pathlib import Path

from affect_mllm.data import manifest
from affect_mllm.eval import files
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.summary import summarise, write_results
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample
from tests.media.clips import make_video

LABELS = ("happy", "sad", "angry")


def task(**changes) -> Task:
    values = {"name": "toy", "version": "1", "question": "Which <emotion>?", "labels": LABELS}
    return Task(**(values | changes))


def sample(id: str, emotion: str, *, root: Path = Path(), **changes) -> Sample:
    labels = {"emotion": emotion, **changes.pop("labels", {})}
    values = {"root": root, "split": "test", "labels": labels, "subtitle": f"words of {id}"}
    return Sample(id=id, **(values | changes))


def corpus(count: int = 12, **changes) -> list[Sample]:
    return [sample(f"s{i:02d}", LABELS[i % 3], **changes) for i in range(count)]


def answers(samples: list[Sample], wrong: dict[str, str] | None = None) -> list[Prediction]:
    """Right answers, but for the ids in `wrong`."""
    return [
        Prediction(
            s.id,
            response=(wrong or {}).get(s.id, f"The person is {s.labels['emotion']}."),
            prompt_hash="abc",
            modalities=("face", "audio"),
            gate={"face": {"general": 0.25, "emotion": 0.75}},
        )
        for s in samples
    ]


def write_predictions(path: Path, rows: list[Prediction]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("id", "response", "prompt_hash", "modalities", "gate", "checkpoint", "confidence")
    said = [{key: found for key in keys if (found := getattr(row, key)) is not None}
            for row in rows]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in said)
    path.write_text(text)
    return path


def make_run(root: Path, *, conflict: bool = True) -> Path:
    """A run directory as training and evaluation leave it: clips, predictions, curves, results."""
    make_video(root / "clip.mp4", frames=10, sound_s=0.4)
    (root / "broken.mp4").write_bytes(b"this is no video at all" * 9)
    samples = corpus(root=root, media={"video": "clip.mp4"})
    samples[3] = sample("s03", "happy", root=root, media={"video": "broken.mp4"})
    samples[4] = sample("s04", "sad", root=root, subtitle="<script>alert('x')</script> & co")
    parts = [
        sample(f"c{i}", "sad", root=root, split="conflict",
               labels={"conflict": part, "conflict_other": other})
        for i, (part, other) in enumerate(
            [("video_aligned", "happy"), ("audio_aligned", "angry"), ("consistent", None)] * 2
        )
    ]  # fmt: skip
    manifest.write([*samples, *parts], root / "manifest.jsonl")
    run = root / "run"
    variants = {
        "face+audio+text": answers(samples, {"s00": "<b>sad</b>", "s03": "a blur"}),
        "face": answers(samples, {s.id: "sad" for s in samples[::2]}),
        "untrained": answers(samples, {s.id: "" for s in samples}),
    }
    both = {"toy": (task(synthetic=True), variants)}
    if conflict:
        said = answers(parts, {"c0": "happy", "c1": "sad"})
        changes = {"name": "toy_conflict", "split": "conflict", "breakdowns": ("conflict",)}
        both["toy_conflict"] = (task(**changes), {"face+audio+text": said, "face": said})
    summaries = {}
    for name, (one, runs) in both.items():
        paths = {v: run / "eval" / name / f"{v}.predictions.jsonl" for v in runs}
        for variant, path in paths.items():
            write_predictions(path, runs[variant])
        found = summarise(one, [*samples, *parts], runs, ceilings={"face": 0.75})
        manifest_path = root / "manifest.jsonl"
        summaries[name] = found | {"manifest": manifest_path, "predictions": paths}
    info = {"seed": 7, "config": {"llm": "small & fast"}}
    write_results(run, summaries, info=info)
    for stage in ("align", "emotion"):
        write_metrics(run / "train" / stage / "metrics.jsonl", stage)
    return run


def write_metrics(path: Path, stage: str) -> None:
    rows = [
        {"stage": stage, "step": step, "steps": 30, "loss": 3.0 / step, "seconds": 2.0 * step,
         "supervised_tokens_per_s": 50.0, "data_wait": 0.01,
         "gate": {"face": {"general": 0.4, "emotion": 0.6}} if stage == "emotion" else {}}
        for step in (1, 10, 20, 10, 30)
    ]  # fmt: skip
    files.write_text_atomic(path, "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 31')
