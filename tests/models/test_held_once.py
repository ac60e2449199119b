"""Encoders are held once, in the dtype that they compute in, and hashed once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from affect_mllm import config
from affect_mllm.media.content import ContentIndex
from affect_mllm.media.image import ImageTransform
from affect_mllm.models import checkpoint
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.models.encoders.fingerprint import Fingerprint
from affect_mllm.models.encoders.sharing import share
from affect_mllm.models.encoders.timm import TimmEncoder
from affect_mllm.tools.train import main
from affect_mllm.train.layout.engine import blocks
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import ExitCode
from tests import tiny_encoders, tiny_experiments

ALONE = ("~stages.align", "~stages.emotion")
SIZES = {"clip": 28, "picture": 56}


def encoder(tiny: Any, name: str, **options: Any) -> TimmEncoder:
    size = SIZES[name]
    path = str(tiny_encoders.folder(tiny.root, "eva"))
    transform = ImageTransform(size)
    return TimmEncoder(path, transform=transform, image_size=size, grid=2, **options)


def pair(tiny: Any, **options: Any) -> dict[str, TimmEncoder]:
    return {name: encoder(tiny, name, **options) for name in SIZES}


@torch.no_grad()
def states(made: TimmEncoder, size: int) -> torch.Tensor:
    torch.manual_seed(size)
    values = torch.randn(1, 2, 3, size, size)
    return made(values, torch.ones(1, 2, dtype=torch.bool)).values


def weights(made: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in made.parameters())


def test_what_two_sizes_of_one_model_have_alike_is_one_module(tiny) -> None:
    made, alone = pair(tiny), pair(tiny)
    prints = {name: each.fingerprint() for name, each in made.items()}
    share(made.values())
    clip, picture = made["clip"].net, made["picture"].net
    assert clip.blocks is picture.blocks
    assert clip.patch_embed.proj is picture.patch_embed.proj
    assert clip.cls_token is picture.cls_token
    assert clip.pos_embed is not picture.pos_embed
    both = torch.nn.ModuleDict(made)
    assert weights(both) == weights(alone["clip"]) + picture.pos_embed.numel()
    assert len(blocks(both)) == len(clip.blocks)
    for name, size in SIZES.items():
        assert torch.equal(states(made[name], size), states(alone[name], size))
        assert made[name].fingerprint() == prints[name] == alone[name].fingerprint()


def test_other_weights_and_encoders_that_train_are_not_joined(tiny, tmp_path) -> None:
    one, free = encoder(tiny, "clip"), encoder(tiny, "picture", frozen=False)
    other = encoder(tiny, "picture")
    with torch.no_grad():
        other.net.blocks[0].mlp.fc2.weight.add_(1)
    share([one, free, other])
    assert one.net.blocks is not free.net.blocks
    assert one.net.blocks[0].mlp.fc2 is not other.net.blocks[0].mlp.fc2
    assert one.net.blocks[1] is other.net.blocks[1]


def test_emotion_llama_v2_holds_one_eva_clip(tiny, tmp_path) -> None:
    cfg = tiny_experiments.experiment(tiny, "emotion_llama_v2", tmp_path)
    model = config.build(cfg.model)
    assert model.encoders["clip"].net.blocks is model.encoders["picture"].net.blocks
    alone = [config.build(node) for node in cfg.model.encoders.values()]
    saved = sum(map(weights, alone)) - weights(model.encoders)
    assert saved >= weights(model.encoders["clip"].net.blocks) > 0


def test_a_shared_weight_trains_by_either_name(tiny) -> None:
    made = pair(tiny)
    share(made.values())
    both = torch.nn.ModuleDict(made)
    for name in made:
        members = select(both, {"tower": Group(rf"{name}\.net\.blocks\..*", 1e-4)})
        assert members["tower"] == list(both["clip"].net.blocks.parameters())  # type: ignore[union-attr]


def test_weights_that_train_or_come_from_a_checkpoint_keep_their_float32(tiny) -> None:
    free, loaded, frozen = (encoder(tiny, "clip") for _ in range(3))
    free.requires_grad_(True)
    name = "net.blocks.0.mlp.fc2.weight"
    loaded.get_parameter(name).data = loaded.get_parameter(name).data + 1
    for each, dtype in ((free, torch.float32), (loaded, torch.float32), (frozen, torch.bfloat16)):
        each.hold_in(torch.bfloat16)
        assert each.get_parameter(name).dtype == dtype


@pytest.fixture
def digests(monkeypatch) -> list[str]:
    """Names of the encoders whose weights were hashed."""
    found: list[str] = []
    digest = Fingerprint.digest

    def counted(self: Fingerprint) -> str:
        found.append(Path(self._encoder[0].name).name)
        return digest(self)

    monkeypatch.setattr(Fingerprint, "digest", counted)
    return found


def test_a_hash_is_kept_beside_its_files_size_and_time(tiny, tmp_path, digests) -> None:
    folder = tmp_path / "eva"
    shutil.copytree(tiny_encoders.folder(tiny.root, "eva"), folder)
    index = tmp_path / "contents.sqlite"

    def printed(size: int = 28) -> str:
        made = TimmEncoder(str(folder), transform=ImageTransform(size), grid=2)
        return made.to(torch.device("cpu")).fingerprint(ContentIndex(index).remembered)

    first = printed()
    assert (printed(), len(digests)) == (first, 1)
    assert printed(size=14) != first
    assert len(digests) == 2
    path = folder / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    assert printed() != first
    assert len(digests) == 3


def test_weights_that_were_changed_are_hashed_again(tiny, tmp_path, digests) -> None:
    remember = ContentIndex(tmp_path / "contents.sqlite").remembered
    made = encoder(tiny, "clip")
    first = made.fingerprint(remember)
    assert made.fingerprint(remember) == first
    assert len(digests) == 1
    name = "net.blocks.0.mlp.fc2.weight"
    changed = {f"encoder.{name}": made.get_parameter(name).detach() + 1}
    whole = torch.nn.ModuleDict({"encoder": made})
    checkpoint.put_weights(whole, changed, where=tmp_path, trained=[*changed])
    assert made.fingerprint(remember) != first
    assert made.half().fingerprint(remember) != first
    assert len(digests) == 3


def test_a_run_of_three_stages_with_benchmarks_hashes_each_encoder_once(
    tiny, tmp_path, digests
) -> None:
    asked = "{_target_: affect_mllm.train.plan.stage.Asked, names: [synthetic], every: 1, "
    asked += "split: train, batch_size: 4, max_rows: 2}"
    given = [
        f"data.cache_dir={tmp_path / 'features'}",
        *(f"+stages.{name}.benchmarks={asked}" for name in ("align", "instruct")),
    ]
    for count in ("one", "two"):
        assert main(tiny.overrides(tmp_path / count, *given)) == ExitCode.DONE
        assert sorted(digests) == ["vision", "whisper"]


def test_without_a_cache_nothing_is_hashed(tiny, tmp_path, digests) -> None:
    given = tiny.overrides(tmp_path / "run", "data.cache_dir=null", *ALONE)
    assert main(given) == ExitCode.DONE
    assert digests == []


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "in the step"])
def test_held_weights_train_to_the_same_numbers(cached, tiny, tmp_path, monkeypatch) -> None:
    found: dict[bool, list[float]] = {}
    held: list[bool] = []
    hold_in = Encoder.hold_in

    def watched(self: Encoder, dtype: torch.dtype) -> None:
        hold_in(self, dtype)
        held.append(any(parameter.dtype == dtype for parameter in self.parameters()))

    for holds, method in ((True, watched), (False, lambda self, dtype: None)):
        monkeypatch.setattr(Encoder, "hold_in", method)
        run_dir = tmp_path / str(holds)
        given = tiny.overrides(
            run_dir,
            *("launch.precision=bf16", "model.llm.dtype=bfloat16", "+model.fast_encoders=true"),
            *(f"data.cache_dir={run_dir / 'features' if cached else 'null'}", *ALONE),
        )
        given.remove("+model.fast_encoders=false")
        assert main(given) == ExitCode.DONE
        lines = (run_dir / "instruct/metrics.jsonl").read_text().splitlines()
        found[holds] = [json.loads(line)["loss"] for line in lines]
    assert held
    assert all(held)
    assert found[True] == found[False]
