"""AffectGPT's checkpoints as ours: the same tokens, logits and loss, and nothing left over."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from affect_mllm.data.collate import collate
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.checkpoint import load_model, load_part
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.tools.app import main
from affect_mllm.types import Batch, MediaBatch, Sample, Span
from tests import tiny_encoders
from tests.models.bert import written_out

REFERENCE = os.environ.get("AFFECT_REFERENCE_DIR")
needs_reference = pytest.mark.skipif(REFERENCE is None, reason="AFFECT_REFERENCE_DIR is not set")
pytestmark = needs_reference


@pytest.fixture(scope="module")
def root() -> Path:
    assert REFERENCE is not None
    return Path(REFERENCE) / "affectgpt_tiny"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> list[str]:
    """Encoders of the widths that the checkpoint was trained with, as overrides."""
    folder = tmp_path_factory.mktemp("encoders")
    return [
        f"model.encoders.visual.model={tiny_encoders.folder(folder, 'clip_24')}",
        "model.encoders.visual.transform.size=32",
        f"model.encoders.audio.model={tiny_encoders.folder(folder, 'hubert')}",
        "model.llm.dtype=float32",
        "model.llm.attention=sdpa",
    ]


def run(root: Path, path: Path, out: Path, *more: str) -> int:
    command = ["import", "affectgpt", str(path), *more]
    with pytest.raises(SystemExit) as left:
        main([*command, "--llm", str(root / "llm"), "--out", str(out)])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def model(root, encoders, tmp_path_factory) -> AffectMLLM:
    out = tmp_path_factory.mktemp("imported") / "checkpoint"
    assert run(root, root / "attention/checkpoint.pth", out, *encoders) == 0
    return load_model(out)


def batch(root: Path, tokens: dict[str, int]) -> tuple[Batch, dict[str, Any], torch.Tensor]:
    """The reference's inputs, what is expected of them, and where logits are compared."""
    expected = json.loads((root / "attention/expected.json").read_text())
    given = load_file(root / "attention/inputs.safetensors")
    ids, attended = given["input_ids"], given["attention_masks"]
    lengths = torch.tensor(expected["lengths"])
    rows, width = ids.shape
    places = {"face": "<FaceHere>", "audio": "<AudioHere>", "multi": "<MultiHere>"}
    spans = []
    for name, mark in places.items():
        where = (ids == expected["token_ids"][mark]).nonzero().tolist()
        assert len(where) == rows
        spans += [Span(name, at, tokens[name], row, row) for row, at in where]
    real = torch.arange(width) < lengths[:, None]
    media = {
        name: MediaBatch(values, torch.ones(values.shape[:2], dtype=torch.bool), (0, 1, 2), True)
        for name, values in (("face", given["face_features"]), ("audio", given["audio_features"]))
    }
    made = Batch(
        ids,
        given["labels"],
        torch.arange(width).expand(rows, -1) * real,
        torch.where(real, torch.arange(rows)[:, None], -1),
        tuple(spans),
        media,
        ("a", "b", "c"),
    )
    return made, expected, attended


@torch.no_grad()
def test_tokens_logits_and_loss_are_the_authors(root, model) -> None:
    made, expected, attended = batch(root, dict.fromkeys(("face", "audio", "multi"), 1))
    outputs = load_file(root / "attention/outputs.safetensors")
    tokens, _ = model.media_tokens(made)
    for name in ("face", "audio", "multi"):
        got = torch.stack([tokens[name][i] for i in range(3)])
        torch.testing.assert_close(got, outputs[f"{name}_tokens"], rtol=0, atol=1e-4)
    logits = model(made, lambda m, _, hidden: m.llm.logits(hidden.states))
    difference = (logits - outputs["logits"])[attended].abs().max()
    assert difference <= 1e-4
    guesses, targets = logits[:, :-1].flatten(0, 1), made.labels[:, 1:].flatten()
    assert (targets != -100).sum() == expected["supervised_tokens"]
    loss = cross_entropy(guesses, targets, ignore_index=-100)
    assert float(loss) == pytest.approx(expected["loss"], abs=1e-4)


@torch.no_grad()
def test_the_pooler_and_the_pre_fusion_agree_in_float64(root, model) -> None:
    outputs = load_file(root / "attention/outputs.safetensors")
    made, _, _ = batch(root, dict.fromkeys(("face", "audio", "multi"), 1))
    wide = {name: items.values.double() for name, items in made.media.items()}
    states = {"visual": wide["face"], "audio": wide["audio"]}
    mask = torch.ones(3, 8, dtype=torch.bool)
    for ours, theirs in (("visual", "face"), ("audio", "audio")):
        compressor = model.compressors[ours].double()
        got = compressor(states[ours], mask).tokens
        torch.testing.assert_close(got, outputs[f"{theirs}_tokens_fp64"], rtol=0, atol=1e-6)
        compressor.float()
    from affect_mllm.models.encoders.base import States

    fused = model.fusion.double()([States(states[n], mask) for n in model.fusion.streams])
    multi = model.compressors["multi"].double()(fused, mask[:, :1]).tokens
    torch.testing.assert_close(multi, outputs["multi_tokens_fp64"], rtol=0, atol=1e-6)
    model.float()


def test_the_checkpoint_knows_where_it_comes_from(root, encoders, tmp_path, capsys) -> None:
    out = tmp_path / "made"
    assert run(root, root / "attention/checkpoint.pth", out, *encoders) == 0
    assert "48 tensors mapped" in capsys.readouterr().out
    meta = json.loads((out / "meta.json").read_text())
    assert meta["lineage"][0]["source"]["file"] == "checkpoint.pth"
    assert run(root, root / "attention/checkpoint.pth", out, *encoders) == 2, "written over"


@torch.no_grad()
def test_several_query_tokens_repeat_the_one_vector(root, encoders, tmp_path, capsys) -> None:
    """By the file's own config, or as the command line says; both at odds are refused."""
    whole = torch.load(root / "attention/checkpoint.pth", weights_only=True)
    counts = {"video": 3, "audio": 2, "multi": 4}
    told = {f"num_{name}_query_token": count for name, count in counts.items()}
    path = tmp_path / "several.pth"
    torch.save({"model": whole["model"], "config": {"model": told}}, path)
    assert run(root, path, tmp_path / "of_config", *encoders) == 0
    torch.save({"model": whole["model"]}, tmp_path / "silent.pth")
    said = [f"--query-tokens={name}={count}" for name, count in counts.items()]
    assert run(root, tmp_path / "silent.pth", tmp_path / "told", *encoders, *said) == 0
    assert run(root, path, tmp_path / "x", *encoders, "--query-tokens=video=5") == 2
    assert "video=3, as its config says" in capsys.readouterr().err
    outputs = load_file(root / "attention/outputs.safetensors")
    made, _, _ = batch(root, dict.fromkeys(("face", "audio", "multi"), 1))
    for name in ("of_config", "told"):
        model = load_model(tmp_path / name)
        tokens, _ = model.media_tokens(made)
        for ours, theirs in (("face", "video"), ("audio", "audio"), ("multi", "multi")):
            got = torch.stack([tokens[ours][i] for i in range(3)])
            expected = outputs[f"{ours}_tokens"].expand(-1, counts[theirs], -1)
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
        data = load_part(tmp_path / name, "data", DataSettings)
        maker = data.maker(model.llm.tokenizer, model.span_lengths())
        media = {n: items.values[0].numpy() for n, items in made.media.items()}
        example = maker.make(Sample("a", tmp_path), media, question="What?", answer="happy")
        whole_batch = collate([example], pad_id=0)
        logits = model(whole_batch, lambda m, _, hidden: m.llm.logits(hidden.states))
        assert logits.shape[:2] == whole_batch.input_ids.shape


# --- the Q-Former's names -----------------------------------------------------------------------

COUNTS = {"video": 5, "audio": 3, "multi": 4}
WIDTHS = {"video": 24, "audio": 32, "multi": 32}
POSITIONS = {
    "video": ("video_frame_position_embedding", 32),
    "audio": ("audio_position_embedding", 8),
    "multi": ("multi_position_embedding", 264),
}


def qformer_weights(root: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's tensors under AffectGPT's names, with Q-Formers of the folder's BERT sizes."""
    bert = json.loads((root / "bert/config.json").read_text())
    hidden, inner = bert["hidden_size"], bert["intermediate_size"]
    source = torch.load(root / "attention/checkpoint.pth", weights_only=True)["model"]
    dropped = ("_attention_mlp", "attention_mlp", "fc_att", "_proj.")
    kept = {name: t for name, t in source.items() if not any(d in name for d in dropped)}
    kept |= {name: t for name, t in source.items() if name.startswith(("image_", "llama_"))}
    torch.manual_seed(0)

    def linear(name: str, wide: int, high: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": torch.randn(high, wide) * 0.2, f"{name}.bias": torch.randn(high)}

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + torch.rand(hidden), f"{name}.bias": torch.randn(hidden)}

    for theirs, projector in (
        ("video", "affectgpt_proj"),
        ("audio", "audio_llama_proj"),
        ("multi", "multi_llama_proj"),
    ):
        kept |= linear(projector, hidden, 64)
        kept[f"{theirs}_query_tokens"] = torch.randn(1, COUNTS[theirs], hidden)
        embedding, count = POSITIONS[theirs]
        kept[f"{embedding}.weight"] = torch.randn(count, WIDTHS[theirs]) * 0.2
        part = f"{theirs}_Qformer.bert"
        kept[f"{part}.embeddings.position_ids"] = torch.arange(64)[None]
        kept |= norm(f"{part}.embeddings.LayerNorm")
        for i in range(2):
            layer = f"{part}.encoder.layer.{i}"
            for kind, width in (("attention", hidden), ("crossattention", WIDTHS[theirs])):
                kept |= linear(f"{layer}.{kind}.self.query", hidden, hidden)
                kept |= linear(f"{layer}.{kind}.self.key", width, hidden)
                kept |= linear(f"{layer}.{kind}.self.value", width, hidden)
                kept |= linear(f"{layer}.{kind}.output.dense", hidden, hidden)
                kept |= norm(f"{layer}.{kind}.output.LayerNorm")
            kept |= linear(f"{layer}.intermediate_query.dense", hidden, inner)
            kept |= linear(f"{layer}.output_query.dense", inner, hidden)
            kept |= norm(f"{layer}.output_query.LayerNorm")
    return kept


@torch.no_grad()
def test_a_checkpoint_with_q_formers_gives_what_its_names_mean(
    root, encoders, tmp_path, capsys
) -> None:
    weights = qformer_weights(root)
    torch.save({"model": weights, "config": {}, "epoch": 1}, tmp_path / "q.pth")
    assert run(root, tmp_path / "q.pth", tmp_path / "out", *encoders) == 0
    said = capsys.readouterr().out
    assert f"{len(weights) - 3} tensors mapped, 3 ignored" in said
    model = load_model(tmp_path / "out")
    counts = {"face": 5, "audio": 3, "multi": 4}
    assert {name: model.span_lengths()[name] for name in counts} == counts
    made, _, _ = batch(root, dict.fromkeys(counts, 1))
    tokens, _ = model.media_tokens(made)

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def read(theirs: str, states: torch.Tensor, projector: str) -> torch.Tensor:
        states = states + weights[f"{POSITIONS[theirs][0]}.weight"][: states.shape[1]]
        prefix = f"{theirs}_Qformer."
        own = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
        found = written_out(own, weights[f"{theirs}_query_tokens"], states, heads=12)
        return linear(projector, found)

    face, audio = made.media["face"].values, made.media["audio"].values
    both = torch.cat([linear("multi_video_embs", face), linear("multi_audio_embs", audio)], 1)
    for name, expected in (
        ("face", read("video", face, "affectgpt_proj")),
        ("audio", read("audio", audio, "audio_llama_proj")),
        ("multi", read("multi", both, "multi_llama_proj")),
    ):
        got = torch.stack([tokens[name][i] for i in range(3)])
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


# --- what is refused ------------------------------------------------------------------------------


def changed(root: Path, path: Path, change) -> Path:
    whole = torch.load(root / "attention/checkpoint.pth", weights_only=True)
    change(whole["model"])
    torch.save(whole, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("fc_att.bias"), "missing ['fusion.weights.bias']"),
        (lambda w: w.update(strange_part=torch.zeros(1)), "unexpected strange_part"),
        (lambda w: w.update({"fc_att.bias": torch.zeros(3)}), "fusion.weights.bias is [3]"),
        (lambda w: w.pop("multi_video_embs.weight"), "missing multi_video_embs.weight"),
        (
            lambda w: w.pop(next(n for n in w if "layers.1.mlp.up_proj.lora_B" in n)),
            "layers.1.mlp.up_proj.lora_B",
        ),
    ],
)
def test_missing_unexpected_and_misshapen_parameters_are_named(
    root, encoders, tmp_path, capsys, change, said: str
) -> None:
    path = changed(root, tmp_path / "changed.pth", change)
    assert run(root, path, tmp_path / "out", *encoders) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


class Evil:
    def __reduce__(self):
        return (os.mkdir, (str(Path(os.environ["EVIL_FOLDER"])),))


def test_nothing_in_a_file_is_executed(root, encoders, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "made_by_a_pickle"))
    torch.save({"model": {"x": torch.zeros(1)}, "config": Evil()}, tmp_path / "evil.pth")
    assert run(root, tmp_path / "evil.pth", tmp_path / "out", *encoders) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "code in it is never run" in said
    assert "Re-running" not in said, "torch's advice to run it"
    assert not (tmp_path / "made_by_a_pickle").exists()
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert run(root, tmp_path / "text.pth", tmp_path / "out") == 1
    torch.save([1], tmp_path / "list.pth")
    assert run(root, tmp_path / "list.pth", tmp_path / "out") == 1
    assert "under `model`" in capsys.readouterr().err
    assert run(root, tmp_path / "none.pth", tmp_path / "out") == 1
