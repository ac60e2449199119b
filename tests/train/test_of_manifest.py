"""What a stage leaves to the manifest, and a stage that ends when nothing gets better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from affect_mllm.data import manifest
from affect_mllm.models import checkpoint
from affect_mllm.train.main import main
from affect_mllm.train.plan.of_manifest import settled
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import ConfigError, DataError, ExitCode

LABELS = {"_target_": "affect_mllm.train.loss.labels.MediaLabels", "weight": 0.5}
TOKENS = {"_target_": "affect_mllm.train.loss.token.TokenLoss"}
DATA = {"ask_labels": ["all"], "instructions": {}}


def rows(path: Path, *, splits: str, media: bool = True) -> Path:
    """A row a letter: `t` of train, `v` of val; every one has an emotion, every other a valence."""
    made = []
    for i, letter in enumerate(splits):
        labels: dict[str, Any] = {"emotion": ("happy", "sad", "angry")[i % 3]}
        labels |= {"valence": 0.5} if i % 2 else {}
        row = {"id": f"r{i}", "subtitle": "x", "labels": labels}
        row |= {"split": "train" if letter == "t" else "val"}
        made.append(row | ({"video": "c.mp4"} if media else {}))
    (path.parent / "c.mp4").write_bytes(b"not looked into")
    manifest.write(made, path)
    return path


def stage(path: Path, **more: Any) -> dict[str, Any]:
    source = {"manifest": str(path), "split": "train", "instructions": {}}
    held = {"sources": {"data": {**source, "split": "val"}}, "every": 5, "if_any": True}
    best = {"metric": "val/loss"}
    return {"sources": {"data": source}, "steps": 50, "validation": held, "best": best, **more}


def test_epochs_are_steps_by_the_rows_and_their_questions(tmp_path) -> None:
    path = rows(tmp_path / "m.jsonl", splits="t" * 10 + "v")
    data = {**DATA, "manifest": str(path)}
    made = stage(path, epochs=3, batch_size=4)
    _, found = settled(data, {"s": made, "most": {**made, "epochs": 90}})
    assert found["s"]["steps"] == 12, "3 · (10 emotions + 5 valences) / 4, rounded up"
    assert found["most"]["steps"] == 50
    assert found["s"]["validation"]["sources"]["data"]["instructions"] == {"label": 1.0}


def test_without_rows_held_out_the_last_weights_are_kept(tmp_path) -> None:
    path = rows(tmp_path / "m.jsonl", splits="tttt")
    data = {**DATA, "manifest": str(path)}
    _, found = settled(data, {"s": stage(path)})
    assert (found["s"]["validation"], found["s"]["best"]) == (None, None)
    strict = stage(path)
    strict["validation"].pop("if_any")
    with pytest.raises(DataError, match="no row of split"):
        settled(data, {"s": strict})


def test_heads_are_given_the_manifests_classes_and_scales(tmp_path) -> None:
    path = rows(tmp_path / "m.jsonl", splits="tttttv")
    data = {**DATA, "manifest": str(path)}
    given = {"heads": stage(path, losses={"labels": LABELS})}
    _, found = settled(data, given)
    loss = found["heads"]["losses"]["labels"]
    assert loss["classes"] == {"emotion": ["angry", "happy", "sad"]}
    assert loss["scales"] == {"valence": [-1.0, 1.0]}
    own = {**LABELS, "classes": {"emotion": ["a", "b"]}}
    _, found = settled(data, {"heads": stage(path, losses={"labels": own})})
    assert found["heads"]["losses"]["labels"] == own


def test_texts_have_no_media_tokens_and_no_stage_for_them(tmp_path) -> None:
    path = rows(tmp_path / "m.jsonl", splits="ttttv", media=False)
    data = {**DATA, "manifest": str(path)}
    heads = stage(path, losses={"labels": LABELS})
    _, found = settled(
        data, {"heads": heads, "answers": stage(path, losses={"lm": TOKENS, "labels": LABELS})}
    )
    assert list(found) == ["answers"]
    assert list(found["answers"]["losses"]) == ["lm"]
    with pytest.raises(ConfigError, match="anything to learn"):
        settled(data, {"heads": heads})


def test_a_group_may_say_that_it_matches_nothing() -> None:
    model = torch.nn.Linear(2, 2)
    either = {"all": Group(".*", 1e-3), "mixes": Group(r"mixes\..*", 1e-3, if_any=True)}
    assert list(select(model, either)) == ["all"]
    with pytest.raises(ConfigError, match="matches no parameter"):
        select(model, {**either, "mixes": Group(r"mixes\..*", 1e-3)})


def test_a_stage_ends_when_nothing_gets_better_and_keeps_the_best(tiny, tmp_path) -> None:
    """At a rate that spoils everything the first evaluation stays the best one."""
    best = "{_target_: affect_mllm.train.plan.stage.Best, metric: val/loss, patience: 4, "
    best += "is_final: true}"
    source = (
        f"{{_target_: affect_mllm.data.mixture.Source, manifest: '{tiny.root / 'manifest.jsonl'}', "
        "split: train, instructions: {describe_voice: 1}}"
    )
    held = "{_target_: affect_mllm.train.plan.stage.Validation, every: 2, batches: 1, "
    held += f"sources: {{data: {source}}}}}"
    given = (
        "stage=align", "stages.align.steps=40", "stages.align.trainable.fusion.lr=30",
        "stages.align.trainable.general_expert.lr=30", "stages.align.schedule.warmup_steps=0",
        f"+stages.align.best={best}", f"+stages.align.validation={held}",
        f"data.cache_dir={tmp_path / 'features'}",
    )  # fmt: skip
    assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.DONE
    folder = tmp_path / "run/align"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    values = {row["step"]: row["eval"]["val/loss"] for row in told if "eval" in row}
    chosen = min(values, key=lambda step: (values[step], step))
    assert told[-1]["step"] == chosen + 4 < 40
    meta = checkpoint.read_meta(folder / "final")
    assert meta["step"] == chosen
    twins = [load_file(folder / name / checkpoint.WEIGHTS) for name in ("final", "best")]
    assert all(torch.equal(tensor, twins[1][name]) for name, tensor in twins[0].items())
    assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.DONE, "found finished"
