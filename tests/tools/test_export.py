"""Exported models: plain transformers loads them and says what the checkpoint says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from peft.tuners.lora.layer import Linear

from affect_mllm import config
from affect_mllm.models import checkpoint as store
from affect_mllm.tools.app import main
from affect_mllm.tools.export import export
from affect_mllm.types import CheckpointError, ConfigError, DataError
from tests.tools.exports import answers, checkpoint, prompts, settings

# What is exported: encoders with an LLM or a native VLM; its head is its embeddings, or is not.
KINDS = ("encoders", "encoders_untied", "encoders_pieces", "qwen2_5_vl_tied", "qwen3_vl")
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


@pytest.fixture(scope="module", params=KINDS)
def exported(tiny, tmp_path_factory, request) -> tuple[Path, Path]:
    """A checkpoint and its export."""
    root = tmp_path_factory.mktemp(request.param)
    made = checkpoint(root / "checkpoint", settings(tiny, root, request.param))
    proof = export(made, root / "exported")
    assert max(proof.exported, proof.merge) <= 1e-4
    assert proof.decided > proof.positions / 2 > 10, "the proof shows little"
    return made, root / "exported"


def test_plain_transformers_gives_the_same_text(tiny, exported) -> None:
    made, folder = exported
    asked = prompts(tiny)
    order = "ours first" if folder.parent.name.startswith("qwen") else "transformers first"
    command = [sys.executable, "-c", PLAIN, order, str(folder), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout.splitlines()[-1])
    assert got == answers(made, asked)
    assert len(set(got)) > 3, "the answers are nearly all the same: this shows little"


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


def test_a_merge_that_changes_the_logits_is_refused_and_leaves_nothing(
    exported, tmp_path, monkeypatch
) -> None:
    made, _ = exported
    monkeypatch.setattr(Linear, "merge", lambda _self, **_: None)
    with pytest.raises(CheckpointError, match="answer tokens differ by"):
        export(made, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_it_stops_where_training_ends_a_turn_and_takes_no_settings_of_the_llms_folder(
    tiny, tmp_path
) -> None:
    cfg = settings(tiny, tmp_path, "encoders_untied")
    folder = Path(cfg.model.llm.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    other = tokenizer.convert_tokens_to_ids("a")
    foreign = {"eos_token_id": other, "min_new_tokens": 7, "repetition_penalty": 1.9, "top_k": 3}
    transformers.GenerationConfig(do_sample=True, **foreign).save_pretrained(folder)
    export(checkpoint(tmp_path / "c", cfg), tmp_path / "out")
    said = json.loads((tmp_path / "out/generation_config.json").read_text())
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert said["eos_token_id"] == end
    assert said["do_sample"] is False
    assert not {"min_new_tokens", "repetition_penalty", "top_k", "temperature"} & set(said)
    model = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "out").eval()
    inputs = transformers.AutoProcessor.from_pretrained(tmp_path / "out")(["Why?"], subtitle=["No"])
    head = model.affect.llm.net.get_output_embeddings()
    forced = torch.full((head.out_features,), -100.0)
    forced[end] = 100.0
    head.bias = torch.nn.Parameter(forced)  # whatever is asked, the turn ends
    assert model.generate(**inputs, max_new_tokens=9).tolist() == [[end]]


def test_a_plugin_is_admitted_by_the_caller_alone(tiny, tmp_path, monkeypatch) -> None:
    (tmp_path / "own_parts.py").write_text(
        "from affect_mllm.media.image import ImageTransform\n\n\n"
        "class Darker(ImageTransform):\n"
        "    def __call__(self, images):\n"
        "        return super().__call__(images // 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = tiny.cfg.copy()
    cfg.model.encoders.visual.transform._target_ = "own_parts.Darker"
    cfg.plugins = ["own_parts"]
    made = checkpoint(tmp_path / "checkpoint", config.checked(cfg))
    out = tmp_path / "out"
    for command in (["predict", "--subtitle", "I see.", "--checkpoint"], ["export"]):
        given = [*command, str(made), *(["--out", str(out)] if command == ["export"] else [])]
        given += ["--question", "Why?"] if command != ["export"] else []
        assert left(given) == 2
        assert left([*given, "--plugins", "own_parts"]) == 0
    clip = {"video": str(tiny.samples[0].path("video"))}
    for auto in (transformers.AutoModelForImageTextToText, transformers.AutoProcessor):
        with pytest.raises(ConfigError, match="outside affect_mllm"):
            auto.from_pretrained(out)(["Why?"], media=[clip])
    processor = transformers.AutoProcessor.from_pretrained(out, plugins=["own_parts"])
    processor.save_pretrained(tmp_path / "again")
    with pytest.raises(ConfigError, match="outside affect_mllm"):
        transformers.AutoProcessor.from_pretrained(tmp_path / "again")(["Why?"], media=[clip])
    model = transformers.AutoModelForImageTextToText.from_pretrained(out, plugins=["own_parts"])
    assert model.generate(**processor(["Why?"], media=[clip]), max_new_tokens=2).shape[1] <= 2


def left(command: list[str]) -> int:
    with pytest.raises(SystemExit) as leave:
        main(command)
    return int(leave.value.code or 0)


def test_the_card_has_the_scores_of_this_checkpoint_only(exported, tmp_path) -> None:
    from affect_mllm.tools.model_card import card

    made, folder = exported
    text = (folder / "README.md").read_text()
    for said in ("Lineage", "Intended use", "Not intended", "Art. 5 (1) (f)", "Annex III",
                 "Art. 50 (3)", "Limits", "Privacy", "14 rows", "Not evaluated"):  # fmt: skip
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
