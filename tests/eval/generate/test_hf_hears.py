"""Models of transformers that hear, asked beside each other as transformers has them alone."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from affect_mllm.eval.generate.hf import HF
from affect_mllm.eval.generate.other import OtherAsker
from affect_mllm.eval.generate.parts import Part, Sound, Turn
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View
from affect_mllm.types import CheckpointError, ConfigError
from tests import tiny_omni, tiny_vlm
from tests.processes import finished

hf: Any = transformers
CLASSES = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
    "qwen2_audio": "Qwen2AudioForConditionalGeneration",
}
KINDS = list(CLASSES)
SYSTEM, LENGTH = "Listen.", 6


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("omni")


def sound(seconds: float, seed: int = 0) -> Sound:
    """A tone that wanders, under noise."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(int(seconds * 16000)) / 16000
    tone = np.sin(2 * np.pi * (200 + 300 * seed) * times_s * (1 + 0.2 * times_s))
    return Sound((0.3 * tone + 0.02 * rng.standard_normal(len(times_s))).astype(np.float32))


def turns(*, sees: bool) -> list[Turn]:
    """Several sounds of different lengths, clips without one, words alone."""
    shown = [*tiny_vlm.pictures(1, 2, 60, 80)] if sees else []
    asked: list[list[Part]] = [
        [*shown, sound(2.3, 1), "Subtitle: oh\nWhich emotion?"],
        [sound(0.6, 2), "Which emotion?"],
        [*shown, "What is seen, without a voice?"],
        ["Words alone."],
        ["Clip a\n", *shown[:1], sound(1.0, 3), "Clip b\n", sound(3.4, 4), "Which is happier?"],
    ]
    return [Turn(tuple(parts)) for parts in asked]


def ask(model: HF, asked: list[Turn]) -> list[str]:
    return [reply.text for reply in model.generate(asked, system=SYSTEM, max_new_tokens=LENGTH)]


def alone(folder: Path, kind: str, turn: Turn) -> str:
    """One turn through transformers' own class, processor and generate."""
    net: Any = getattr(hf, CLASSES[kind]).from_pretrained(folder, dtype="float32").eval()
    processor = hf.AutoProcessor.from_pretrained(folder)
    content: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        elif isinstance(part, Sound):
            content.append({"type": "audio", "audio": part.wave})
        else:
            content.append({"type": "image", "image": part})
    chat = [
        {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
        {"role": "user", "content": content},
    ]
    given = processor.apply_chat_template(
        [chat], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        ids = net.generate(**given, do_sample=False, max_new_tokens=LENGTH)
    new = ids[:, given["input_ids"].shape[1] :]
    return processor.batch_decode(new, skip_special_tokens=True)[0].strip()


def logits(model: HF, turn: Turn, monkeypatch) -> torch.Tensor:
    """Of the answer's first token."""
    net, found = model._parts()["net"], []
    generate = net.generate

    def watched(**given):
        said = generate(**given, output_logits=True, return_dict_in_generate=True)
        found.append(said.logits[0][0])
        return said.sequences

    with monkeypatch.context() as patched:
        patched.setattr(net, "generate", watched)
        ask(model, [turn])
    return found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_together_they_answer_as_transformers_has_each_alone(root, kind) -> None:
    folder = tiny_omni.build(root, kind)
    model = HF(str(folder), "float32", batch_size=5)
    asked = turns(sees=model.sees)
    together = ask(model, asked)
    assert together == [alone(folder, kind, turn) for turn in asked]
    assert len(set(together)) == len(asked), "what is heard and asked must matter"
    assert ask(HF(str(folder), "float32", batch_size=2), asked[::-1]) == together[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_muted_sound_is_another_one_and_none_a_third(root, kind, monkeypatch) -> None:
    model = HF(str(tiny_omni.build(root, kind)), "float32")
    heard = sound(1.5, 1)
    question = "Which emotion?"
    muted = Sound(np.zeros_like(heard.wave))
    found = [
        logits(model, Turn(parts), monkeypatch)
        for parts in ((heard, question), (muted, question), (question,))
    ]
    scale = found[0].abs().max()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (found[one] - found[other]).abs().max() > 0.01 * scale


@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen3_omni_moe"])
def test_of_a_whole_folder_the_thinker_alone_is_loaded(root, kind) -> None:
    whole, part = (HF(str(tiny_omni.build(root, kind, whole=w)), "float32") for w in (True, False))
    assert type(whole._parts()["net"]).__name__ == CLASSES[kind]
    asked = turns(sees=True)[:3]
    assert ask(whole, asked) == ask(part, asked)
    assert (whole.sees, whole.hears) == (True, True)


def test_what_it_takes_follows_from_its_configuration(tiny, root) -> None:
    sighted = HF(str(tiny_vlm.build(tiny, root)))
    listener = HF(str(tiny_omni.build(root, "qwen2_audio")))
    assert (sighted.sees, sighted.hears) == (True, False)
    assert (listener.sees, listener.hears) == (False, True)
    for model, seen in ((sighted, "audio"), (listener, "face")):
        asker = OtherAsker(model, tiny.data.reader, "", LENGTH)
        with pytest.raises(ConfigError, match="subsets"):
            list(asker.answer(tiny.samples[:1], Question("Which?"), View((seen,))))
        assert "net" not in model._loaded, "before any weights are read"


def test_rows_are_heard_and_seen_as_far_as_they_can_be(tiny, root) -> None:
    rows = tiny.samples[:4]
    found = {}
    for kind in ("qwen2_5_omni", "qwen2_audio"):
        model = HF(str(tiny_omni.build(root, kind)), "float32")
        asker = OtherAsker(model, tiny.data.reader, SYSTEM, LENGTH)
        answers = asker.answer(rows, Question("Which emotion?"))
        found[kind] = {row["id"]: row for row in answers}
    whole, heard = ({i: r["modalities"] for i, r in rows.items()} for rows in found.values())
    assert whole["c00"] == ["frame", "audio", "text"]
    assert heard["c00"] == ["audio", "text"]
    assert whole["c02"] == heard["c02"] == ["audio", "text"]
    assert all(row["finish_reason"] in ("stop", "length") for row in found["qwen2_audio"].values())


def test_half_precision_hears(root) -> None:
    model = HF(str(tiny_omni.build(root, "qwen2_5_omni")), "bfloat16")
    assert len(ask(model, turns(sees=True)[:2])) == 2
    assert model._parts()["net"].dtype == torch.bfloat16


def test_an_answer_ends_where_the_tokenizer_says_it_if_nothing_else_does(root, tmp_path) -> None:
    folder = shutil.copytree(tiny_omni.build(root, "qwen2_audio"), tmp_path / "endless")
    (folder / "generation_config.json").unlink()
    written = json.loads((folder / "config.json").read_text())
    written["text_config"] |= {"eos_token_id": None}
    (folder / "config.json").write_text(json.dumps(written | {"eos_token_id": None}))
    parts = HF(str(folder), "float32")._parts()
    assert parts["net"].generation_config.eos_token_id == parts["processor"].tokenizer.eos_token_id


def test_a_sound_of_which_the_model_hears_the_beginning_is_named(root, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        ask(HF(str(tiny_omni.build(root, "qwen2_audio")), "float32"), [Turn((sound(31), "Which?"))])
        assert "hears the first 30 s of a sound of 31 s" in caplog.text
        caplog.clear()
        ask(HF(str(tiny_omni.build(root, "qwen3_omni_moe")), "float32"), [Turn((sound(31), "W?"))])
        assert "hears the first" not in caplog.text


def test_another_rate_than_that_of_the_sounds_is_refused(root, tmp_path) -> None:
    folder = shutil.copytree(tiny_omni.build(root, "qwen2_audio"), tmp_path / "fast")
    file = folder / "processor_config.json"
    file.write_text(file.read_text().replace('"sampling_rate": 16000', '"sampling_rate": 16001'))
    with pytest.raises(CheckpointError, match="hears at 16001 Hz"):
        HF(str(folder), "float32")._parts()


@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen2_audio"])
def test_eval_asks_it_alone(tiny, root, tmp_path, kind) -> None:
    folder = tiny_omni.build(root, kind, whole=kind != "qwen2_audio")
    given = ["model=hf", f"model.model={folder}", "model.dtype=float32", "max_new_tokens=3",
             f"manifest={tiny.root / 'manifest.jsonl'}", f"run_dir={tmp_path}"]  # fmt: skip
    code, said = finished(["eval.py", *given])
    assert code == 0, said
    assert json.loads((tmp_path / "results.json").read_text())["runs"]["synthetic"]["n"] == 4
    (file,) = (tmp_path / "eval" / "synthetic").glob("*.predictions.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    seen = {name for row in rows for name in row["modalities"]}
    assert seen == {"audio", "text"} | ({"frame"} if kind == "qwen2_5_omni" else set())
