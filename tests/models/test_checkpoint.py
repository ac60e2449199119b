"""Checkpoint folders: whole, unchanged and fitting, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from affect_mllm.models import checkpoint
from affect_mllm.types import CheckpointError, ConfigError


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "instruct/final", tmp_path / "final"))


def seal(folder: Path) -> None:
    """Give the folder's meta.json the hashes of its present files."""
    meta = json.loads((folder / "meta.json").read_text())
    meta["hashes"] = {name: checkpoint.file_hash(folder / name) for name in meta["hashes"]}
    (folder / "meta.json").write_text(json.dumps(meta))


def change_config(folder: Path, key: str, value: object) -> None:
    cfg = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(cfg, key, value, force_add=True)
    OmegaConf.save(cfg, folder / "config.yaml")
    seal(folder)


def test_a_checkpoint_gives_back_what_was_saved(folder: Path, tmp_path: Path) -> None:
    model = checkpoint.load_model(folder)
    assert not model.training
    copy = tmp_path / "copy"
    cfg, meta = checkpoint.load_config(folder), checkpoint.read_meta(folder)
    checkpoint.save(copy, model, cfg, meta)
    one, two = (load_file(path / checkpoint.WEIGHTS) for path in (folder, copy))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert checkpoint.checkpoint_hash(copy) == checkpoint.checkpoint_hash(folder)


def test_only_what_is_trained_is_saved(folder: Path) -> None:
    names = load_file(folder / checkpoint.WEIGHTS)
    assert any("lora_" in name for name in names)
    assert any(name.startswith("compressors.") for name in names)
    assert any(name.startswith("fusion.") for name in names)
    assert not any(name.startswith("encoders.") or "embed_tokens" in name for name in names)


def test_base_weights_that_were_trained_are_saved_too(tiny, tmp_path: Path) -> None:
    model, meta = tiny.model(), {"trained": ["llm.net.model.norm.weight"]}
    with torch.no_grad():
        model.llm.net.model.norm.weight.fill_(3.0)
    checkpoint.save(tmp_path / "c", model, tiny.cfg, meta)
    other = tiny.model()
    checkpoint.load_weights(tmp_path / "c", other)
    assert torch.equal(other.llm.net.model.norm.weight, model.llm.net.model.norm.weight)


def test_untrained_means_the_same_start_without_its_weights(folder: Path) -> None:
    one, two = (checkpoint.load_model(folder, trained=False) for _ in range(2))
    assert one.llm.lora_is_zero()
    state = two.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("name", ["config.yaml", "trainable.safetensors", "meta.json"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load_model(folder)


@pytest.mark.parametrize("name", ["config.yaml", "trainable.safetensors"])
@pytest.mark.parametrize("damage", ["half", "one bit"])
def test_a_half_written_or_changed_file_is_refused(folder: Path, name: str, damage: str) -> None:
    data = bytearray((folder / name).read_bytes())
    if damage == "half":
        data = data[: len(data) // 2]
    else:
        data[-5] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name}.*sha256"):
        checkpoint.load_model(folder)


@pytest.mark.parametrize("text", ["", "{}", '{"hashes": {}', "[]", '{"hashes": {}}'])
def test_an_unreadable_meta_is_refused(folder: Path, text: str) -> None:
    (folder / "meta.json").write_text(text)
    with pytest.raises(CheckpointError):
        checkpoint.load_model(folder)


def test_no_folder_at_all_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoint.load_model(tmp_path / "nothing")


def test_another_format_version_is_refused(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "format_version": 99}))
    with pytest.raises(CheckpointError, match=r"format_version 99(.|\n)*expected: 1"):
        checkpoint.load_model(folder)


@pytest.mark.parametrize("wrong", ["missing", "unexpected", "other shape"])
def test_weights_that_do_not_fit_are_listed(folder: Path, wrong: str) -> None:
    weights = load_file(folder / checkpoint.WEIGHTS)
    name = sorted(weights)[0]
    tensor = weights.pop(name)
    if wrong == "unexpected":
        weights |= {name: tensor, "compressors.smell.weight": tensor.clone()}
        name = "compressors.smell.weight"
    if wrong == "other shape":
        weights[name] = torch.zeros(7, 7)
    save_file(weights, folder / checkpoint.WEIGHTS)
    seal(folder)
    with pytest.raises(CheckpointError, match=rf"{wrong} \['{name}"):
        checkpoint.load_model(folder)


def test_a_foreign_target_in_a_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    change_config(folder, "model.fusion", {"_target_": "os.system", "command": f"touch {proof}"})
    with pytest.raises(ConfigError, match=r"fusion.*os\.system"):
        checkpoint.load_model(folder)
    assert not proof.exists()


def test_a_checkpoint_does_not_admit_plugins_itself(folder: Path) -> None:
    change_config(folder, "plugins", ["os"])
    change_config(folder, "model.fusion", {"_target_": "os.system", "command": "true"})
    with pytest.raises(ConfigError, match=r"os\.system"):
        checkpoint.load_model(folder)


def test_remote_code_cannot_be_asked_for(folder: Path) -> None:
    change_config(folder, "model.llm.trust_remote_code", True)
    with pytest.raises(ConfigError, match=r"llm\.trust_remote_code"):
        checkpoint.load_model(folder)


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "final"
    for text in ("first", "second"):
        finished = tmp_path / ".writing"
        finished.mkdir()
        (finished / "file").write_text(text)
        checkpoint.replace_folder(finished, final)
        assert (final / "file").read_text() == text
        assert sorted(path.name for path in tmp_path.iterdir()) == ["final"]
