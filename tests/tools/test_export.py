"""Exported models: plain transformers loads them and says what the checkpoint says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.models import checkpoint as store
from affect_mllm.tools.export import export
from affect_mllm.types import CheckpointError, ConfigError, DataError, Sample
from tests import tiny_vlm

KINDS = ("encoders", "qwen2_5_vl", "qwen3_vl")
QUESTIONS = ("Which emotion?", "What does the voice say?", "Why?", "Describe the face.")
# What anybody can write without knowing our code; in a process of its own.
PLAIN = """
import json, sys
order, folder, prompts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if order == "ours first":
    import affect_mllm
    assert not {"torch", "transformers"} & set(sys.modules)
from transformers import AutoModelForImageTextToText, AutoProcessor
if order == "transformers first":
    import affect_mllm
model = AutoModelForImageTextToText.from_pretrained(folder).eval()
processor = AutoProcessor.from_pretrained(folder)
texts = []
for at in range(0, len(prompts), 5):
    part = prompts[at : at + 5]
    inputs = processor(
        [p["question"] for p in part],
        media=[p["media"] for p in part],
        subtitle=[p["subtitle"] for p in part],
    )
    ids = model.generate(**inputs, max_new_tokens=8)
    texts += [t.strip() for t in processor.batch_decode(ids, skip_special_tokens=True)]
print(json.dumps(texts))
"""


def settings(tiny, folder: Path, kind: str = "qwen2_5_vl") -> Any:
    if kind == "encoders":
        return tiny.cfg
    overrides = [
        "experiment=emotion_qwen",
        f"data.manifest={tiny.root / 'manifest.jsonl'}",
        "data.reader.sampling.kind=uniform",
        "data.reader.sampling.frames=3",
        "model.lora.r=2",
        *tiny_vlm.overrides(tiny_vlm.build(tiny, folder, kind)),
    ]
    return config.checked(config.compose("train", overrides))


def checkpoint(folder: Path, cfg: Any, *, dtype: str = "float32") -> Path:
    """A checkpoint of a model that is not at its neutral start, as training writes it."""
    node = cfg.copy()
    llm = node.model.get("llm", node.model)
    llm.dtype = dtype
    torch.manual_seed(0)
    model = config.build(node.model)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("compressors.", "fusion.")) or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    digest = {str(node.data.manifest): "0" * 64}
    meta = {
        "experts": ["general", "emotion"],
        "seed": 1,
        "lineage": [{"stage": "last", "parent": None, "data": digest}],
        "packages": {"torch": torch.__version__},
        "git": None,
    }
    store.save(folder, model, node, meta)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def exported(tiny, tmp_path_factory, request) -> tuple[Path, Path]:
    """A checkpoint and its export."""
    root = tmp_path_factory.mktemp(request.param)
    made = checkpoint(root / "checkpoint", settings(tiny, root, request.param))
    assert export(made, root / "exported").exported <= 1e-4
    return made, root / "exported"


def prompts(tiny) -> list[dict[str, Any]]:
    """Twenty, over clips, sounds and words alone."""
    made = []
    for number in range(20):
        row = tiny.samples[number % len(tiny.samples)]
        media = {} if number == 7 else {kind: str(row.path(kind)) for kind in row.media}
        subtitle = row.subtitle if number % 3 or not set(media) & {"video"} else None
        question = QUESTIONS[number % len(QUESTIONS)]
        made.append({"question": question, "media": media, "subtitle": subtitle})
    return made


def answers(made: Path, asked: list[dict[str, Any]]) -> list[str]:
    """What the checkpoint itself generates, one prompt at a time."""
    model = store.load_model(made)
    cfg = store.load_config(made)
    cfg.data.cache_dir = None
    data = config.build(cfg.data)
    features = data.features(model.transforms(), {})
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    texts = []
    for each in asked:
        sample = Sample("x", Path("/"), media=each["media"], subtitle=each["subtitle"])
        arrays = features.clip(sample).arrays if each["media"] else {}
        example = maker.make(sample, arrays, question=each["question"], encoded=False)
        texts += model.generate(collate([example], pad_id=0), max_new_tokens=8)[0]
    return texts


def test_plain_transformers_gives_the_same_text(tiny, exported) -> None:
    made, folder = exported
    asked = prompts(tiny)
    order = "ours first" if folder.parent.name.startswith("qwen") else "transformers first"
    command = [sys.executable, "-c", PLAIN, order, str(folder), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout.splitlines()[-1])
    assert got == answers(made, asked)
    assert len(set(got)) > 5, "the answers are nearly all the same: this shows little"


def test_it_survives_being_saved_again(exported, tmp_path) -> None:
    from transformers import AutoConfig, AutoModel, AutoProcessor

    _, folder = exported
    model = AutoModel.from_pretrained(folder).eval()
    model.save_pretrained(tmp_path)
    AutoProcessor.from_pretrained(folder).save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "affect_mllm"
    processor = AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(["Why?", "And what else?"], subtitle=["I see.", "No."])
    with torch.no_grad():
        one, two = (m(**inputs).logits for m in (model, AutoModel.from_pretrained(tmp_path).eval()))
    assert torch.equal(one, two)


def test_nothing_of_this_machine_and_no_code_is_in_it(tiny, exported) -> None:
    _, folder = exported
    names = {path.suffix for path in folder.iterdir()}
    assert names <= {".json", ".safetensors", ".md", ".jinja"}
    for path in folder.glob("*.[jm]*"):
        assert str(tiny.root) not in path.read_text()
        assert "/tmp" not in path.read_text()


def test_a_bfloat16_model_keeps_its_connectors_in_float32(tiny, tmp_path) -> None:
    made = checkpoint(tmp_path / "c", settings(tiny, tmp_path), dtype="bfloat16")
    proof = export(made, tmp_path / "out")
    assert 0 < proof.exported <= 2 * proof.own
    from transformers import AutoModel

    model = AutoModel.from_pretrained(tmp_path / "out").affect
    assert {p.dtype for p in model.compressors.parameters()} == {torch.float32}
    assert {p.dtype for p in model.llm.parameters()} == {torch.bfloat16}


def test_a_merge_that_changes_the_logits_is_refused_and_leaves_nothing(
    exported, tmp_path, monkeypatch
) -> None:
    from peft.tuners.lora.layer import Linear

    made, _ = exported
    monkeypatch.setattr(Linear, "merge", lambda _self, **_: None)
    with pytest.raises(CheckpointError, match="logits differ by"):
        export(made, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_card_has_the_scores_of_this_checkpoint_only(exported, tmp_path) -> None:
    from affect_mllm.tools.model_card import card

    made, folder = exported
    text = (folder / "README.md").read_text()
    for said in ("Lineage", "Intended use", "Privacy", "14 rows", "Not evaluated"):
        assert said in text
    metrics = {
        "war": {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 10, "n_unparsed": 1},
    }
    name = store.checkpoint_hash(made)
    scores = {"benchmark": "b", "checkpoint": name, "metrics": metrics}
    results = tmp_path / "results.json"
    results.write_text(json.dumps(scores))
    assert "| b | war | 0.500 | 0.400 – 0.600 | 10 | 1 |" in card(made, results)
    results.write_text(json.dumps({**scores, "checkpoint": "another"}))
    with pytest.raises(ConfigError, match="another"):
        card(made, results)
    results.write_text("[]")
    with pytest.raises(DataError, match="results"):
        card(made, results)


def test_what_cannot_be_exported_is_said(exported, tmp_path) -> None:
    made, folder = exported
    with pytest.raises(ConfigError, match="exists"):
        export(made, folder)
    with pytest.raises(CheckpointError, match="no such folder"):
        export(tmp_path / "none", tmp_path / "out")
