"""Named groups of what trains: whom they select, and what is said of what is no group."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from torch import nn

from affect_mllm import config
from affect_mllm.train.keep import lineage
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.plan.trainable import Group, named, select
from affect_mllm.types import ConfigError


def net() -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(2, 3) for name in ("gate", "expert", "llm")})


def at_one(**matches: str | list[str]) -> dict[str, Group]:
    return {name: Group(match, 1.0) for name, match in matches.items()}


def test_the_first_group_that_matches_decides_and_the_rest_is_frozen() -> None:
    model = net()
    found = select(model, at_one(bias=r"gate\.bias", gate=r"gate\..*", matrices=r".*\.weight"))
    names = {id(p): name for name, p in model.named_parameters()}
    assert {name: [names[id(p)] for p in members] for name, members in found.items()} == {
        "bias": ["gate.bias"],
        "gate": ["gate.weight"],
        "matrices": ["expert.weight", "llm.weight"],
    }
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == [
        "expert.bias",
        "llm.bias",
    ]


def test_a_group_may_match_by_several_regexes() -> None:
    found = select(net(), at_one(most=[r"gate\..*", r"llm\.weight"]))
    assert [tuple(p.shape) for p in found["most"]] == [(3, 2), (3,), (3, 2)]


@pytest.mark.parametrize("regex", [r"gaet\..*", "gate", r"ate\..*", r"gate\.bia"])
def test_a_regex_that_names_nothing_in_full_is_an_error(regex: str) -> None:
    for match in (regex, [r"gate\..*", regex]):
        with pytest.raises(ConfigError, match=r"trainable\.mine\.match(.|\n)*matches no parameter"):
            select(net(), at_one(llm=r"llm\..*", mine=match))


def test_a_group_hidden_by_an_earlier_one_is_no_error() -> None:
    assert list(select(net(), at_one(gate=r"gate\..*", bias=r"gate\.bias"))) == ["gate"]


OLD = {
    r"llm\..*lora_.*": 2e-4,
    r"compressors\..*": {"lr": 1e-3, "weight_decay": 0.1},
    r"encoders\.audio\..*": 1e-5,
    r".*": 3,
}


def test_regexes_without_names_are_refused_with_the_form_to_paste() -> None:
    with pytest.raises(ConfigError) as caught:
        named(OLD)
    (shown,) = re.findall(r"^ *trainable: (.*)$", str(caught.value), re.M)
    wanted = {
        "lora": Group(r"llm\..*lora_.*", 2e-4),
        "compressors": Group(r"compressors\..*", 1e-3, 0.1),
        "audio": Group(r"encoders\.audio\..*", 1e-5),
        "all": Group(".*", 3.0),
    }
    pasted: Any = OmegaConf.to_container(OmegaConf.create(f"trainable: {shown}"))
    assert named(pasted["trainable"]) == wanted
    assert list(yaml.safe_load(shown)) == list(wanted)
    # The same words do on a command line, for a stage that has no groups yet.
    cleared = [f"~stages.align.trainable.{name}" for name in ("fusion", "general_expert")]
    given = ["experiment=demo", *cleared, f"+stages.align.trainable={shown}"]
    cfg = config.checked(config.compose("train", given))
    assert config.build(cfg.stages.align).trainable == wanted


def test_an_old_form_among_groups_keeps_them_in_what_is_shown() -> None:
    old = r"+stages.align.trainable={encoders\.audio\..*: 1.0e-3}"
    with pytest.raises(ConfigError) as caught:
        config.checked(config.compose("train", ["experiment=demo", old]))
    said = str(caught.value)
    (shown,) = re.findall(r"^ *trainable: (.*)$", said, re.M)
    assert "stages.align.trainable: " in said
    assert list(named(yaml.safe_load(shown.replace("e-", ".0e-")))) == [
        "fusion",
        "general_expert",
        "audio",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing trains"),
        ({"lora": {"match": "a"}}, r"group lora: lr: Field required"),
        ({"lora": {"lr": 1e-4}}, r"group lora: match: Field required"),
        ({"lora": {"match": "a", "lr": -1}}, r"group lora: lr: .*greater than or equal to 0"),
        ({"lora": {"match": "a", "lr": 1, "decay": 2}}, r"group lora: decay: Unexpected"),
        ({"lora": {"match": "(", "lr": 1}}, r"group lora: match: '\(' is no regex"),
        ({"2d": {"match": "a", "lr": 1}}, "'2d' is no name"),
        ({"lora": "fast"}, "group lora: "),
    ],
)
def test_what_is_no_group_is_named_by_stage_and_by_check(given, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Stage("s", given, {}, steps=1)
    cfg = config.compose("train", ["experiment=demo"])
    OmegaConf.update(cfg, "stages.emotion.trainable", given, merge=False, force_add=True)
    with pytest.raises(ConfigError, match=rf"\n  stages\.emotion\.trainable: got (.|\n)*{said}"):
        config.checked(cfg)


def test_the_order_of_groups_decides_and_is_part_of_what_a_checkpoint_is_known_by() -> None:
    one, two = ({"a": {"match": ".*", "lr": 1}, "b": {"match": ".*", "lr": 2}} for _ in range(2))
    assert lineage.deciding({"trainable": one}) == lineage.deciding({"trainable": two})
    turned = dict(reversed(one.items()))
    assert lineage.deciding({"trainable": one}) != lineage.deciding({"trainable": turned})
