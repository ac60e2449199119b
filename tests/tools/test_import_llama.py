"""MiniGPT-v2's and Emotion-LLaMA's checkpoints as ours: the original's forward pass, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate, layer_norm

from affect_mllm.data.settings import DataSettings
from affect_mllm.models.checkpoint import WEIGHTS, load_config, load_model, load_part
from affect_mllm.tools.app import main
from affect_mllm.tools.importers.names import Names
from affect_mllm.tools.tiny.experiment import tiny_experiment
from affect_mllm.types import Batch, MediaBatch, Sample, Span
from tests.tools import other_checkpoints as theirs

GRID, PATCH, ALPHA, RANK = 4, 14, 16, 4
SIZE = GRID * PATCH
ORDER = ("face", "frame", "audio")  # of the features, as the original puts them in


@pytest.fixture(scope="module")
def tiny_parts(tiny, tmp_path_factory) -> dict[str, Any]:
    """The experiment's settings at tiny size, with an EVA of the original's kind: without rope."""
    root = tmp_path_factory.mktemp("llama")
    eva = root / "eva"
    _eva(eva)
    run_dir, manifest = root / "run", tiny.root / "manifest.jsonl"
    _, made = tiny_experiment("emotion_llama", root / "weights", manifest=manifest, run_dir=run_dir)
    changes = {key: value for key, value in made.changes.items() if key.startswith("model.")}
    changes["model.encoders.picture.model"] = str(eva)
    changes |= dict.fromkeys(("model.encoders.picture.transform.size",), SIZE)
    changes |= {"model.encoders.picture.image_size": SIZE, "model.llm.dtype": "float32"}
    changes |= {"model.llm.attention": "sdpa", "model.encoders.face.hidden_size": 48}
    del changes["model.llm.lora.r"]
    return changes


def _eva(folder: Path) -> None:
    import timm

    torch.manual_seed(1)
    options = {"img_size": 28, "depth": 3, "embed_dim": theirs.PICTURE, "num_heads": 2}
    net = timm.create_model("eva_giant_patch14_clip_224", num_classes=3, **options)
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    folder.mkdir(parents=True)
    save_file(net.state_dict(), folder / "model.safetensors")
    spec = {"architecture": "eva_giant_patch14_clip_224", "num_classes": 3, "model_args": options}
    (folder / "config.json").write_text(json.dumps(spec))


@pytest.fixture(scope="module")
def llm(tiny_parts) -> Path:
    return Path(tiny_parts["model.llm.model"])


def run(kind: str, path: Path, out: Path, parts: dict[str, Any], *more: str) -> int:
    settings = {key: value for key, value in parts.items() if key != "model.llm.model"}
    given = [f"{key}={value}" for key, value in settings.items()]
    command = ["import", kind, str(path), *given, *more, "--out", str(out)]
    with pytest.raises(SystemExit) as left:
        main([*command, "--llm", parts["model.llm.model"]])
    return int(left.value.code or 0)


# --- the original's forward pass ------------------------------------------------------------------


def linear(weights: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def states_of(folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    """Class and patches `[1, 1 + GRID², D]` of EVA-CLIP without its last block, normalised."""
    import timm

    spec = json.loads((folder / "config.json").read_text())
    net = timm.create_model(spec["architecture"], num_classes=3, **spec["model_args"]).eval()
    net.load_state_dict(load_file(folder / "model.safetensors"))
    own = net.pos_embed[:, 1:].reshape(1, 2, 2, -1).permute(0, 3, 1, 2)
    larger = interpolate(own, size=(GRID, GRID), mode="bicubic", align_corners=False)
    places = torch.cat([net.pos_embed[:, :1], larger.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    patches = net.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([net.cls_token, patches], 1) + places
    for block in net.blocks[:-1]:
        x = block(x)
    return layer_norm(x, x.shape[-1:])


def language_model(folder: Path, weights: dict[str, torch.Tensor]) -> Any:
    """The base LLM with the products of LoRA's factors added to its maps."""
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    before, after = "llama_model.base_model.model.", ".lora_A.weight"
    for name in weights:
        if name.endswith(after):
            layer = name.removesuffix(after)
            product = weights[f"{layer}.lora_B.weight"] @ weights[name]
            base = net.get_submodule(layer.removeprefix(before))
            base.weight.data += product * ALPHA / RANK
    return net


@torch.no_grad()
def test_the_forward_pass_is_the_originals(tiny_parts, llm, tmp_path, capsys) -> None:
    """Patches, three features, class token: in their order, in one row of words."""
    weights = theirs.save(theirs.emotion_llama(llm, rank=RANK), tmp_path / "e.pth")
    assert run("emotion_llama", tmp_path / "e.pth", tmp_path / "out", tiny_parts) == 0
    said = capsys.readouterr().out
    assert "attention.fc_out.weight" in said, "what is left out is named"
    assert "rotary_emb.inv_freq" in said
    assert "alpha" not in said, "it is in the file's config"
    model = load_model(tmp_path / "out")
    picture = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    made = torch.from_numpy(np.asarray(model.transforms()["image"](picture)))
    features = {
        name: torch.randn(1, 1, wide)
        for name, wide in zip(ORDER, theirs.FEATURE.values(), strict=True)
    }
    ids = torch.randint(10, 400, (1, 14))
    lengths = [("image", GRID**2 // 4), *((name, 1) for name in ORDER), ("image", 1)]
    spans, at = [], 3
    for name, length in lengths:
        spans.append(Span(name, at, length, 0, 0))
        at += length
    one = torch.ones(1, 1, dtype=torch.bool)
    media = {name: MediaBatch(values, one, (0,), True) for name, values in features.items()}
    media["image"] = MediaBatch(made[None], one, (0,), False)
    nothing = torch.full_like(ids, -100)
    places, row = torch.arange(14)[None], torch.zeros_like(ids)
    batch = Batch(ids, nothing, places, row, tuple(spans), media, ("a",))
    got = model(batch, lambda m, _, hidden: m.llm.logits(hidden.states))

    pixels = model.encoders["picture"].pixels(made)
    states = states_of(Path(tiny_parts["model.encoders.picture.model"]), pixels)
    joined = states[:, 1:].reshape(1, GRID**2 // 4, 4 * theirs.PICTURE)
    tokens = [linear(weights, "llama_proj", joined)]
    for number, name in enumerate(ORDER, start=1):
        tokens.append(linear(weights, f"feats_llama_proj{number}", features[name]))
    tokens.append(linear(weights, "cls_tk_llama_proj", states[:, :1]))
    net = language_model(llm, weights)
    words = net.get_input_embeddings()(ids)
    inputs = torch.cat([words[:, :3], *tokens, words[:, at:]], 1)
    expected = net(inputs_embeds=inputs).logits
    assert inputs.shape[1] == 14
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    plain = net(inputs_embeds=words).logits
    assert (plain - expected)[:, 3:].abs().max() > 1e-3, "the tokens change nothing"


def test_settings_are_those_of_the_file(tiny_parts, llm, tmp_path) -> None:
    made = theirs.emotion_llama(llm, rank=3)
    theirs.save(made, tmp_path / "e.pth", lora_alpha=24)
    assert run("emotion_llama", tmp_path / "e.pth", tmp_path / "out", tiny_parts) == 0
    lora = load_config(tmp_path / "out").model.llm.lora
    assert (lora.r, lora.lora_alpha, list(lora.target_modules)) == (3, 24, ["q_proj", "v_proj"])
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["lineage"][0]["source"]["project"] == "Emotion-LLaMA"
    model = load_model(tmp_path / "out")
    data = load_part(tmp_path / "out", "data", DataSettings)
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    widths = {name: model.encoders[branch].hidden_size for name, branch in model.branches.items()}
    states = {name: np.zeros((1, widths[name]), np.float32) for name in ORDER}
    states["image"] = np.zeros((1 + GRID**2, widths["image"]), np.float32)
    made = maker.make(Sample("a", tmp_path, subtitle="Well"), states, question="[emotion] ?")
    ends = {s.modality: (s.start, s.start + s.length) for s in made.spans}
    assert [ends["face"][1], ends["frame"][1]] == [ends["frame"][0], ends["audio"][0]]
    assert ends["image"][1] < ends["face"][0], "the features' tag stands before them"
    lines = load_config(tmp_path / "out").data.prompt.lines
    written = "".join(lines[name] for name in ("image", *ORDER))
    assert written == "<video>{}</video> <feature>{}{}{}</feature> "


def test_names_of_a_later_peft_are_the_same(tiny_parts, llm, tmp_path) -> None:
    """It puts the adapter's name between, `lora_A.default.weight`."""
    weights = theirs.emotion_llama(llm).state_dict()
    later = {
        n.replace(".weight", ".default.weight") if "lora_" in n else n: t
        for n, t in weights.items()
    }
    for name, each in (("old", weights), ("new", later)):
        torch.save({"model": each}, tmp_path / f"{name}.pth")
        assert run("emotion_llama", tmp_path / f"{name}.pth", tmp_path / name, tiny_parts) == 0
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("old", "new"))
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


# --- MiniGPT-v2 as a start ------------------------------------------------------------------------


def test_emotion_llamas_first_stage_starts_from_minigpt_v2(
    tiny, tiny_parts, llm, tmp_path, capsys
) -> None:
    weights = theirs.save(theirs.minigpt_v2(llm, rank=RANK), tmp_path / "m.pth")
    start, after = tmp_path / "start", tmp_path / "run"
    assert run("minigpt_v2", tmp_path / "m.pth", start, tiny_parts) == 0
    assert "8 begin anew" in capsys.readouterr().out  # four maps, each with a bias
    stage, settings = "emotion_llama_coarse", {**tiny_parts, "model.llm.lora.r": RANK}
    with pytest.raises(SystemExit) as left:
        main(
            [
                "train",
                "experiment=emotion_llama",
                *(f"{key}={value}" for key, value in settings.items()),
                *(f"stages.{stage}.{one}" for one in ("steps=1", "batch_size=2")),
                *(f"stages.{stage}.schedule.warmup_steps=0", f"+stages.{stage}.init_from={start}"),
                *(f"run_dir={after}", f"data.manifest={tiny.root / 'manifest.jsonl'}"),
                *("data.cache_dir=null", "data.max_tokens=2048", f"stage={stage}"),
                *("data.reader.sampling.frames=4", "launch.precision=fp32", "launch.workers=0"),
            ]
        )
    assert not left.value.code
    began, ended = load_file(start / WEIGHTS), load_file(after / stage / "final" / WEIGHTS)
    assert torch.equal(began["compressors.picture.project.weight"], weights["llama_proj.weight"])
    assert all(torch.allclose(began[name], ended[name], rtol=0, atol=3e-5) for name in began)
    assert not all(torch.equal(began[name], ended[name]) for name in began)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (
            "emotion_llama",
            lambda w: w.pop("feats_llama_proj2.bias"),
            "compressors.clip.project.bias",
        ),
        (
            "emotion_llama",
            lambda w: w.pop("llama_proj.weight"),
            "compressors.picture.project.weight",
        ),
        ("emotion_llama", lambda w: w.update(strange=torch.zeros(2)), "unexpected strange [2]"),
        (
            "emotion_llama",
            lambda w: w.update({"cls_tk_llama_proj.bias": torch.zeros(3)}),
            "compressors.picture.project_class.bias is [3]",
        ),
        (
            "emotion_llama",
            lambda w: w.pop(f"{theirs.LLAMA}.1.self_attn.v_proj.lora_B.weight"),
            "layers.1.self_attn.v_proj.lora_B",
        ),
        ("minigpt_v2", lambda w: w.pop("llama_proj.bias"), "compressors.picture.project.bias"),
        (
            "minigpt_v2",
            lambda w: w.update({"cls_tk_llama_proj.bias": torch.zeros(3)}),
            "unexpected cls_tk_llama_proj.bias [3]",
        ),
        (
            "minigpt_v2",
            lambda w: [w.pop(n) for n in [*w] if "lora_" in n],
            "missing every lora_A",
        ),
    ],
)
def test_missing_unexpected_and_misshapen_parameters_are_named(
    tiny_parts, llm, tmp_path, capsys, kind: str, change, said: str
) -> None:
    weights = dict(getattr(theirs, kind)(llm).state_dict())
    change(weights)
    torch.save({"model": weights}, tmp_path / "x.pth")
    assert run(kind, tmp_path / "x.pth", tmp_path / "out", tiny_parts) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_name_can_be_told(tiny_parts, llm, tmp_path, capsys) -> None:
    weights = theirs.emotion_llama(llm).state_dict()
    other = {n.replace("llama_proj.", "projector."): t for n, t in weights.items()}
    other["extra.weight"] = torch.zeros(1)
    torch.save({"model": other}, tmp_path / "x.pth")  # without a config, which says LoRA's alpha
    told = ("--map", "projector.=compressors.picture.project.", "--drop", "extra.")
    told += ("--map", "cls_tk_projector.=compressors.picture.project_class.")
    told += ("--map", "feats_llama_proj1=compressors.face.project")
    assert run("emotion_llama", tmp_path / "x.pth", tmp_path / "out", tiny_parts, *told) == 0
    said = capsys.readouterr().out
    assert "1 left out (--drop): extra.weight" in said
    ignored = said.partition("ignored (no parameters): ")[2].partition(";")[0]
    assert "attention.fc_out.weight" in ignored
    assert "extra.weight" not in ignored
    alpha = load_config(tmp_path / "out").model.llm.lora.lora_alpha
    assert f"LoRA's alpha is in no file: {alpha}, " in said
    made = load_file(tmp_path / "out" / WEIGHTS)
    assert torch.equal(made["compressors.picture.project.bias"], weights["llama_proj.bias"])
    bad = ("--map", "projector.")
    assert run("emotion_llama", tmp_path / "x.pth", tmp_path / "y", tiny_parts, *bad) == 2


def test_what_is_dropped_is_left_out_though_it_is_known() -> None:
    names = Names({"tower.blocks.": "ours.", "llm.": "llm.net."}, none=("buffer.",))
    weights = {name: torch.zeros(1) for name in ("tower.blocks.0", "tower.x", "llm.a", "buffer.b")}
    made = names.told(["tower.x=ours.x"], ["tower."]).apply(weights, "Theirs")
    assert (set(made.weights), made.ignored) == ({"llm.net.a", "ours.x"}, ["buffer.b"])
    assert made.dropped == ["tower.blocks.0"]
    both = names.told([], ["llm.a", "buffer."]).apply({"llm.a": weights["llm.a"]}, "Theirs")
    assert (both.weights, both.dropped) == ({}, ["llm.a"])


@pytest.mark.parametrize(
    ("kind", "option", "of"),
    [
        ("minigpt_v2", "--adapter=x", "emotion_qwen"),
        ("affectgpt", "--adapter=x", "emotion_qwen"),
        ("emotion_llama", "--heads=12", "affectgpt"),
        ("emotion_qwen", "--query-tokens=video=3", "affectgpt"),
    ],
)
def test_an_option_of_another_kind_is_refused(kind, option, of, tmp_path, capsys) -> None:
    command = ["import", kind, str(tmp_path / "x.pth"), option, "--llm=x"]
    with pytest.raises(SystemExit) as left:
        main([*command, "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert f"{option.partition('=')[0]}: with {kind}" in said
    assert f"only with {of}" in said
