"""Every shipped YAML passes the check, and what a user may get wrong is named with its path."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affect_mllm import config
from affect_mllm.types import CheckpointError, ConfigError

CONF = config.conf_dir()
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# Parts that an experiment puts together; the others have a place of their own.
PARTS = sorted(
    f"{path.parent.name}/{path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in {"experiment", "benchmark", "launch", "model", "variants"}
)
DEMO = "experiment=demo"
LAUNCH = "affect_mllm.train.layout.launch.Launch"
PLUGIN = """
import os

class Part:
    def __init__(self, size: int) -> None:
        self.size = size
"""


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def refusal(*overrides: str, name: str = "train") -> str:
    with pytest.raises(ConfigError) as caught:
        config.checked(config.compose(name, list(overrides)))
    return str(caught.value)


def check(node: dict, *, plugins: tuple[str, ...] = ()) -> None:
    from omegaconf import OmegaConf

    config.check(OmegaConf.create(node), plugins=plugins)


def free_text(name: str, tmp_path: Path) -> list[str]:
    """What an experiment leaves to its user: every `???` gets a path."""
    from omegaconf import OmegaConf

    # Unresolved: OmegaConf.missing_keys fails where another value refers to a missing one.
    tree = OmegaConf.to_container(config.compose("train", [f"experiment={name}"]), resolve=False)
    return [f"{key}={tmp_path}/x" for key, value in leaves(tree) if value == "???"]


def leaves(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield where, node
        return
    for key, value in node.items():
        yield from leaves(value, f"{where}.{key}" if where else str(key))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_passes(name: str, tmp_path: Path) -> None:
    given = free_text(name, tmp_path)
    cfg = config.checked(config.compose("train", [f"experiment={name}", *given]))
    assert list(cfg.stages), "an experiment without a stage"
    for stage, node in cfg.stages.items():
        assert node.name == stage


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_one_stage_of_an_experiment_can_be_chosen(name: str, tmp_path: Path) -> None:
    given = free_text(name, tmp_path)
    for stage in config.compose("train", [f"experiment={name}", *given]).stages:
        cfg = config.checked(
            config.compose("train", [f"experiment={name}", f"stage={stage}", *given])
        )
        assert cfg.stage.name == stage


@pytest.mark.parametrize("part", PARTS)
def test_every_part_passes(part: str, tmp_path: Path) -> None:
    group, name = part.split("/")
    cfg = config.compose("train", [DEMO, f"+{group}@extra={name}"])
    from omegaconf import OmegaConf

    assert "_target_" in cfg.extra
    for key in OmegaConf.missing_keys(cfg):
        OmegaConf.update(cfg, key, str(tmp_path / "x"))
    config.check(cfg.extra)


@pytest.mark.parametrize("name", names("launch"))
def test_every_launch_passes(name: str) -> None:
    config.checked(config.compose("train", [DEMO, f"launch={name}"]))


# `affect_mllm` is the frame that the other models fill.
@pytest.mark.parametrize("name", sorted({*names("model")} - {"affect_mllm"}))
def test_every_model_passes(name: str) -> None:
    config.checked(config.compose("train", [DEMO, f"model={name}"]))


@pytest.mark.parametrize("name", names("benchmark"))
def test_every_benchmark_passes(name: str) -> None:
    cfg = config.checked(config.compose("eval", ["checkpoint=x", f"benchmark={name}"]))
    assert cfg.benchmark.name == name


def test_wrong_group_wrong_option_and_unknown_key_name_what_is_meant() -> None:
    assert "nonsense" in refusal("experiment=nonsense")
    assert "launch/nonsense" in refusal(DEMO, "launch=nonsense")
    assert "lunch" in refusal(DEMO, "lunch=single")
    assert "modle" in refusal(DEMO, "model.llm.modle=x")
    said = refusal(DEMO, "+model.llm.modle=x")
    assert "model.llm.modle" in said
    assert "did you mean model?" in said


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("model.llm.dtype=float99", "model.llm.dtype"),
        ("stages.align.steps=many", "stages.align.steps"),
        ("stages.align.steps=2.5", "stages.align.steps"),
        ("launch.workers=none_at_all", "launch.workers"),
        ("seed=one", "seed"),
        ("data.instructions.label.questions=5", "data.instructions.label.questions"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(override: str, where: str) -> None:
    said = refusal(DEMO, override)
    assert f"\n  {where}: got" in said
    assert "1 problem(s)" in said


def test_all_problems_are_said_at_once() -> None:
    said = refusal(
        DEMO, "seed=one", "+launch.nodes=2", "model.llm.dtype=float99", "~model.llm.lora.r"
    )
    for where in ("seed", "launch.nodes", "model.llm.dtype"):
        assert f"\n  {where}: " in said
    assert "3 problem(s)" in said


def test_a_missing_value_and_a_missing_key_are_refused() -> None:
    assert "model.llm.model: missing" in refusal(DEMO, "~model.llm.model")
    assert "missing mandatory value: model" in refusal("model=hf", name="eval").casefold()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "builtins.eval",
        "subprocess.Popen",
        "affect_mllm.config.importlib.import_module",
        "affect_mllm.models.checkpoint.shutil.rmtree",
        "affect_mllm.models.checkpoint.torch.load",
        "affect_mllm.models.checkpoint.replace_folder",
        "affect_mllm.models.checkpoint.Path",
        "affect_mllm.models.llm.language_model.LanguageModel.load_state_dict",
        "affect_mllm.log.LOGGER",
        "peft.tuners.lora.config.warnings.warn",
        "peft.AutoPeftModel",
        "affect_mllm.nowhere.Thing",
        "affect_mllm.config.nothing",
        "affect_mllm",
        "affect_mllm_evil.Thing",
    ],
)
def test_only_the_project_and_the_list_can_be_targets(target: str) -> None:
    with pytest.raises(ConfigError, match=r"part\.inner"):
        check({"part": {"inner": {"_target_": target}}})


def test_the_listed_third_party_class_passes_under_any_of_its_names() -> None:
    for path in ("peft.LoraConfig", "peft.tuners.lora.config.LoraConfig"):
        check({"_target_": path, "r": 4})


def test_a_target_hidden_in_a_partial_or_a_list_is_found() -> None:
    inner = {"_target_": "affect_mllm.models.compressor.merger.Merger", "_partial_": True}
    check(inner)
    for hidden in ([{"_target_": "os.system"}], {"a": [{"b": {"_target_": "os.system"}}]}):
        with pytest.raises(ConfigError, match=r"os\.system"):
            check({**inner, "pooler": hidden})


@pytest.mark.parametrize("key", ["_args_", "_convert_"])
def test_ways_around_the_signature_are_refused(key: str) -> None:
    node = {"_target_": "affect_mllm.train.plan.optim.Schedule", key: "all"}
    with pytest.raises(ConfigError, match=key):
        check(node)


def test_a_package_of_the_users_own_is_admitted_by_name_only(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_affect_parts.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    node = {"_target_": "my_affect_parts.Part", "size": 3}
    with pytest.raises(ConfigError, match="plugins="):
        check(node)
    assert "my_affect_parts" not in sys.modules, "imported before it was admitted"
    check(node, plugins=("my_affect_parts",))
    assert config.build(node, plugins=("my_affect_parts",)).size == 3
    with pytest.raises(ConfigError, match="size"):
        check({**node, "size": "big"}, plugins=("my_affect_parts",))
    with pytest.raises(ConfigError, match="resolves to posix"):
        check({"_target_": "my_affect_parts.os.system"}, plugins=("my_affect_parts",))


def test_an_asset_that_was_not_fetched_says_how_to(tmp_path, monkeypatch) -> None:
    from affect_mllm.types import CheckpointError

    monkeypatch.setenv("AFFECT_ASSETS_DIR", str(tmp_path))
    with pytest.raises(CheckpointError, match="affect-mllm assets"):
        config.weights_path("asset:whisper-base")
    (tmp_path / "whisper-base").mkdir()
    (tmp_path / "whisper-base/config.json").write_text("{}")
    assert config.weights_path("asset:whisper-base") == str(tmp_path / "whisper-base")
    assert config.weights_path("some/hub-id") == "some/hub-id"


@pytest.mark.parametrize(
    "override",
    [
        "stages.align.batch_size=0",
        "stages.align.steps=-3",
        "launch.micro_batches=0",
        "model.fusion.normalize=sofmax",
        "model.compressors.visual.expert.merge=0",
    ],
)
def test_values_that_cannot_work_are_found_before_anything_is_built(override: str) -> None:
    path = override.split("=")[0]
    with pytest.raises(ConfigError, match=re.escape(path)):
        config.checked(config.compose("train", ["experiment=demo", override]))


@pytest.mark.parametrize(
    ("override", "target"),
    [
        (
            "+extra={_target_: affect_mllm.train.layout.launch.Launch, budget: {tokens: 9}}",
            "affect_mllm.data.packing.Budget",
        ),
        ("+stages.align.mixing.temperature=2", "affect_mllm.data.mixture.Mixing"),
        ("+stages.align.sources.more={manifest: x}", "affect_mllm.data.mixture.Source"),
        ("+stages.align.best={metric: val/loss}", "affect_mllm.train.plan.stage.Best"),
        ("+stages.align.validation={sources: {}}", "affect_mllm.train.plan.stage.Validation"),
        ("+stages.align.benchmarks={names: [x]}", "affect_mllm.train.plan.stage.Asked"),
    ],
)
def test_a_part_without_a_class_is_told_which_one(override: str, target: str) -> None:
    assert f"_target_: {target}" in refusal(DEMO, override)


def test_what_a_constructor_raises_of_our_errors_comes_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AFFECT_ASSETS_DIR", str(tmp_path))
    cfg = config.compose("train", ["experiment=demo"])
    with pytest.raises(CheckpointError, match="affect-mllm assets"):
        config.build(cfg.model.llm)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("benchmark=own_clip", "there is no benchmark/own_clip; did you mean own_clips?"),
        ("benchmark=xyz", "there is no benchmark/xyz; it has aeb_e_c, "),
    ],
)
def test_a_choice_that_is_not_there_is_said_in_two_lines(given: str, said: str) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.compose("eval", [given])
    assert refused.value.got.startswith(said)
    assert refused.value.where == "command line"
    assert len(str(refused.value).splitlines()) == 2


def test_a_choice_that_a_file_makes_is_said_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("defaults: [/stage@stages.a: algn]\n")
    with pytest.raises(config.ConfigError) as refused:
        config.compose("train", ["experiment=mine", f"hydra.searchpath=[{tmp_path}]"])
    assert refused.value.where == "experiment/mine.yaml"
    assert refused.value.got == "there is no stage/algn; did you mean align?"
