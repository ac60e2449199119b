"""Tables of published and our settings in docs, against the composed YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.eval.run import EvalRun

ROOT = Path(__file__).parents[1]
TABLES = {"affectgpt": "docs/models.md", "emotion_qwen": "docs/native_vlm.md"}


def rows(page: str) -> list[list[str]]:
    """The cells of the page's table of settings."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = text.split("| setting | key | published | ours | why |\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[1:]]


def same(value: Any, said: str) -> bool:
    """Whether a value of the YAML is what a cell says; lists by their numbers in order."""
    if isinstance(value, list):
        parts = said.split(", ")
        return len(parts) == len(value) and all(map(same, value, parts))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(said.replace(",", "")) == value
    return str(value) == said


@pytest.mark.parametrize("experiment", sorted(TABLES))
def test_ours_is_what_the_yaml_says_and_changes_have_a_reason(experiment: str) -> None:
    cfg = config.compose("train", [f"experiment={experiment}"])
    found = rows(TABLES[experiment])
    assert len(found) > 8
    for setting, key, published, ours, why in found:
        for name in re.findall(r"`([^`]+)`", key):
            value = OmegaConf.select(cfg, name)
            plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            assert same(plain, ours), f"{setting}: {name} is {plain}, docs say {ours}"
        assert why or published.split(" (")[0] in (ours, "none", "60 × 5000"), setting


def test_affectgpts_decoding_can_be_asked_for() -> None:
    """By the command that stands in docs."""
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python eval.py (.*decoding=sampled.*)$", page, re.MULTILINE)
    cfg = config.checked(config.compose("eval", command.split()))
    run = config.build(cfg, kind=EvalRun)
    assert (run.decoding, run.max_new_tokens) == ("sampled", 1200)
    assert (run.sampling.temperature, run.sampling.top_p) == (1.0, 0.9)
