"""Any variant of a group at any place of any model, and a folder of one's own beside conf/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.data.template import Conversation
from affect_mllm.types import ConfigError
from tests.variants import names, variant

CONF = config.conf_dir()
# Groups of parts: a variant has all its options, whoever chooses it.
PARTS = ("encoder", "fusion", "compressor", "llm", "prompt", "chat", "loss")
MODELS = sorted({*names("model")} - {"affect_mllm"})
EXPERIMENTS = names("experiment")
TREES = [f"model={name}" for name in MODELS] + [f"experiment={name}" for name in EXPERIMENTS]


def composed(tree: str, *overrides: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The tree, and what stands at which place (`fusion@model.fusion`: `attention`)."""
    from hydra import compose, initialize_config_dir

    given = ["experiment=demo", tree] if tree.startswith("model=") else [tree]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("train", overrides=[*given, *overrides], return_hydra_config=True)
    choices = {
        place: str(chosen)
        for place, chosen in whole.hydra.runtime.choices.items()
        if "@" in place and place.split("@")[0] in PARTS
    }
    OmegaConf.set_struct(whole, False)
    del whole["hydra"]
    found: Any = OmegaConf.to_container(whole)
    return found, choices


def put(tree: dict[str, Any], place: str, node: Any) -> None:
    *way, last = place.split("@")[1].split(".")
    for key in way:
        tree = tree[key]
    tree[last] = node


def swapped(tree: dict[str, Any], choices: dict[str, str], number: int) -> dict[str, str]:
    """Put the variant `number` places after the present one at every place; what stands there."""
    now = {}
    for place, chosen in choices.items():
        group = place.split("@")[0]
        every = names(group)
        now[place] = every[(every.index(chosen) + number) % len(every)]
        put(tree, place, variant(group, now[place]))
    return now


@pytest.mark.parametrize("tree", TREES)
def test_a_variant_brings_all_its_options_and_takes_them_along(tree: str) -> None:
    """Composed with another variant everywhere, nothing is left of those that stood there."""
    expected, choices = composed(tree)
    assert choices
    now = swapped(expected, choices, 1)
    found, _ = composed(tree, *(f"{place}={name}" for place, name in now.items()))
    assert found == expected


@pytest.mark.parametrize("name", MODELS)
def test_every_variant_at_every_place_of_every_model_passes_the_check(name: str) -> None:
    """As composed: the test above shows that a swap is nothing else."""
    whole, choices = composed(f"model={name}")
    places = {place: chosen for place, chosen in choices.items() if "@model." in place}
    for number in range(max(len(names(place.split("@")[0])) for place in places)):
        swapped(whole, places, number)
        model: Any = OmegaConf.create(whole["model"])
        for key in OmegaConf.missing_keys(model):
            OmegaConf.update(model, key, "x")
        config.check(model)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_takes_other_data(name: str) -> None:
    """With questions of which it knows none."""
    given = [f"experiment={name}", "data=conversations", "data.manifest=x"]
    config.check(config.compose("train", given).data)


@pytest.mark.parametrize(
    "place",
    [
        "fusion@model.fusion=conv_attention",
        "compressor@model.compressors.visual=linear",
        "compressor@model.compressors.multi=linear",
    ],
)
def test_what_the_pages_promise_of_the_demo(place: str) -> None:
    config.checked(config.compose("train", ["experiment=demo", place]))


def test_general_data_is_replayed_beside_a_stages_own_at_its_weight() -> None:
    place = "stages.instruct.sources.replay"
    given = ["experiment=demo", f"+replay@{place}=conversations", f"{place}.manifest=general.jsonl"]
    cfg = config.checked(config.compose("train", [*given, f"{place}.weight=0.5"]))
    sources = config.build(cfg.stages.instruct).sources
    assert (sources["replay"].manifest, sources["replay"].weight) == ("general.jsonl", 0.5)
    assert sources["data"].weight == 1.0
    assert [*sources["replay"].instructions] == ["conversation"]
    assert isinstance(config.build(cfg.data).instructions["conversation"], Conversation)


OWN = """
# @package _global_
# The demo with another fusion and other rates.
defaults:
  - demo
  - /rates@stages.align.trainable: fast
  - override /fusion@model.fusion: mine
  - _self_

name: mine
"""


def own_folder(root: Path) -> Path:
    """YAML files of a user's own, in a folder with a name that Hydra's grammar does not read."""
    own = root / "my=conf"
    for group in ("experiment", "fusion", "rates"):
        (own / group).mkdir(parents=True)
    (own / "experiment/mine.yaml").write_text(OWN)
    (own / "fusion/mine.yaml").write_text("defaults: [attention, _self_]\nhidden_size: 12\n")
    (own / "rates/fast.yaml").write_text("fusion: {lr: 0.5}\n")
    return own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own_folder(tmp_path)


def test_a_folder_of_ones_own_adds_to_the_groups(folder: Path) -> None:
    given = [f"hydra.searchpath=[{folder}]", "experiment=mine"]
    cfg = config.checked(config.compose("train", given))
    assert (cfg.name, cfg.model.fusion.hidden_size, cfg.model.fusion.normalize) == (
        "mine",
        12,
        "none",
    )
    assert cfg.stages.align.trainable.fusion.lr == 0.5


def test_a_folder_that_is_not_there_or_hides_behind_ours_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        config.compose("train", ["hydra.searchpath=[nowhere]", "experiment=mine"])
    with pytest.raises(ConfigError, match=r"hydra\.searchpath=\[FOLDER\]"):
        config.compose("train", ["hydra.searchpath=nowhere", "experiment=mine"])
    (folder / "fusion/qformer.yaml").write_text("a: 1\n")
    with pytest.raises(ConfigError, match=r"fusion/qformer\.yaml has the name of one of ours"):
        config.compose("train", [f"hydra.searchpath=['{folder}']", "experiment=mine"])
