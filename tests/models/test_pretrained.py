"""A part that is neither a folder nor at the Hub is said before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.models.pretrained import loading
from affect_mllm.types import CheckpointError


class Hub:
    """The Hub's client: `asked` for repositories, of which it has `has`."""

    has: tuple[str, ...] = ()
    asked: list[str]

    def model_info(self, name: str, *, timeout: float) -> object:
        Hub.asked.append(name)
        if name not in self.has:
            raise ConnectionError("Name or service not known")
        return object()


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Hub]:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.chdir(tmp_path)
    Hub.asked, Hub.has = [], ()
    return Hub


def test_a_slip_in_a_folders_name_is_asked_about_once_and_said(hub, tmp_path: Path) -> None:
    (tmp_path / "models/whisper-base").mkdir(parents=True)
    with (
        pytest.raises(CheckpointError, match="models/whisper-base is there: was it meant") as said,
        loading("models/whisper-bsae", "a Whisper model"),
    ):
        pytest.fail("it went on to load it")
    assert "Name or service not known" in str(said.value)
    assert hub.asked == ["models/whisper-bsae"]


def test_what_is_there_or_at_the_hub_is_loaded(hub, tmp_path: Path) -> None:
    (tmp_path / "models/llm").mkdir(parents=True)
    hub.has = ("someone/llm",)
    loaded = []
    for name in ("models/llm", "someone/llm", "asset:llm"):
        with loading(name, "a causal LM"):
            loaded.append(name)
    assert loaded == ["models/llm", "someone/llm", "asset:llm"]
    assert hub.asked == ["someone/llm"]
