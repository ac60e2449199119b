"""Checkpoints on the Hugging Face Hub: where one that is named lies, and uploading one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from affect_mllm.media.near import near
from affect_mllm.models import checkpoint as store
from affect_mllm.models.pretrained import REPOSITORY
from affect_mllm.types import CheckpointError

FILES = (store.CONFIG, store.WEIGHTS, store.HEADS, "meta.json")


def checkpoint_folder(path_or_hub_id: str | os.PathLike[str]) -> Path:
    """The folder itself, or the Hub's repository of that name as a folder of its cache.

    Raises CheckpointError for what is neither.
    """
    folder = Path(path_or_hub_id)
    if folder.exists() or not REPOSITORY.fullmatch(str(path_or_hub_id)):
        return folder  # whose reading says what it lacks
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(str(path_or_hub_id), allow_patterns=list(FILES)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        meant = near(folder, folders=True)
        raise CheckpointError(
            str(path_or_hub_id),
            f"no such folder, and no repository of the Hub that can be had: {error}",
            expected="the folder of a finished checkpoint, or NAME/REPOSITORY",
            fix=f"{meant} is there: was it meant?" if meant else "correct the name",
        ) from error


def push(folder: Path, repo_id: str, *, private: bool | None, token: str | None) -> str:
    """Upload a checkpoint's files and its card to a repository, made if it is not there yet.

    Returns the URL of the commit. Raises CheckpointError for a part that is a local folder.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    from affect_mllm.tools.model_card import card

    _check_parts(folder)
    text = card(folder, merged=False, repository=repo_id)
    paths = [folder / name for name in FILES if (folder / name).is_file()]
    files = [CommitOperationAdd(path.name, str(path)) for path in paths]
    files.append(CommitOperationAdd("README.md", text.encode()))
    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    done = api.create_commit(
        repo_id, files, commit_message=f"checkpoint {store.checkpoint_hash(folder)}"
    )
    return str(done.commit_url)


def _check_parts(folder: Path) -> None:
    from omegaconf import OmegaConf

    from affect_mllm.tools.hf.config import at, places

    node: Any = OmegaConf.to_container(store.load_config(folder).model, resolve=True)
    local = [place for place in places(node) if Path(str(at(node, place)["model"])).exists()]
    if local:
        named = ", ".join(f"{each or 'model'}: {at(node, each)['model']}" for each in local)
        raise CheckpointError(
            str(folder),
            f"parts that are folders of this machine ({named}), which nobody else has",
            expected="parts by their Hub id, or asset:NAME",
            fix="`affect-mllm export` writes a folder that needs no other; upload that one",
        )
