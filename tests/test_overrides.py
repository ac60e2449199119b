"""What a user types after `key=`: paths as they are, everything else with what to type instead."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.overrides import is_path, prepared, quoted
from affect_mllm.train import multirun
from affect_mllm.types import ConfigError

CONF = config.conf_dir()
ODD = [
    "runs/seed=1/instruct/final",
    "runs/seed=1,lr=0.001/final",
    "[x]",
    "{a: 1}",
    "中文 路径/é",
    "it's",
    'say "no"',
    "back\\slash\\",
    "a'b\\",
    "2024",
    "true",
    "1e5",
    "a(1)/b",
    " lead",
    "$HOME/#x",
    "http://localhost:8000/v1?key=a&b=c,d",
]


def composed(*overrides: str, name: str = "eval") -> Any:
    return config.compose(name, list(overrides))


@pytest.mark.parametrize("path", ODD)
def test_a_path_is_what_was_typed(path: str) -> None:
    keys = ("checkpoint", "run_dir", "manifest", "+a.b.model", "++cache_dir")
    cfg = composed(*(f"{key}={path}" for key in keys))
    assert [cfg.checkpoint, cfg.run_dir, cfg.manifest, cfg.a.b.model, cfg.cache_dir] == [path] * 5


def test_the_home_folder_is_what_a_shell_would_have_made_of_it(tmp_path, monkeypatch) -> None:
    home = str(tmp_path / "a=b")
    monkeypatch.setenv("HOME", home)
    cfg = composed("checkpoint=~/x", "manifest='~/x'", "run_dir=a~/x")
    assert [cfg.checkpoint, cfg.manifest, cfg.run_dir] == [f"{home}/x", "~/x", "a~/x"]


def test_any_text_of_hydras_own_characters_is_what_was_typed() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    luck, parser = random.Random(0), OverridesParser.create()
    signs = "ab1.=,:[]{}()'\" /$%~+-@?|#é中\t"
    for _ in range(300):
        path = "x" + "".join(luck.choices(signs, k=luck.randint(1, 9)))
        (given,) = prepared([f"checkpoint={path}"])
        assert parser.parse_override(given).value() == path
        assert prepared([given]) == [given], "prepared twice"


def test_hydras_own_forms_keep_their_meaning() -> None:
    assert composed(r"checkpoint=a\=b\,c").checkpoint == "a=b,c", "escaped by hand"
    cfg = composed("manifest=null", "run_dir='a=b'", 'checkpoint="c,d"', "cache_dir=${run_dir}/x=y")
    assert [cfg.manifest, cfg.run_dir, cfg.checkpoint, cfg.cache_dir] == [
        None,
        "a=b",
        "c,d",
        "a=b/x=y",
    ]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("data.prompt.system=a=b", "a=b"),
        ("data.prompt.system=中文", "中文"),
        ("data.prompt.system=Look, it's now", "Look, it's now"),
        ("data.prompt.system=$HOME 'x'=`y`", "$HOME 'x'=`y`"),
        ("data.prompt.system=a [b]", "a [b]"),
    ],
)
def test_what_hydra_cannot_read_is_shown_as_it_has_to_be_typed(given: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed("experiment=demo", given, name="train")
    typed = re.search(r"(?:type|as one value:) (.*)$", str(caught.value), re.M)
    assert typed
    (pasted,) = shlex.split(typed[1])  # as a shell does
    cfg = composed("experiment=demo", pasted, name="train")
    assert cfg.data.prompt.system == value


@pytest.mark.parametrize("given", [r"stages.align.trainable.llm\..*=1e-4", "seed", "=3", "a b=3"])
def test_what_is_no_override_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(ConfigError, match=r"key=value(.|\n)*trainable\.lora\.lr=1e-4"):
        composed("experiment=demo", given, name="train")


@pytest.mark.parametrize("given", ["experiment=5", "model=[a,b]", "model.llm=5", "seed@x=1"])
def test_what_hydra_refuses_in_words_of_its_own_is_a_config_error(given: str) -> None:
    overrides = [given] if given.startswith("experiment") else ["experiment=demo", given]
    with pytest.raises(ConfigError):
        config.checked(composed(*overrides, name="train"))


def test_several_values_without_m_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"seed=1,2: several values(.|\n)*-m"):
        composed("experiment=demo", "seed=1,2", name="train")


def swept(*overrides: str) -> list[list[str]]:
    return [names for names, _ in multirun.combinations(overrides)]


def test_a_comma_in_a_path_never_sweeps(tmp_path: Path) -> None:
    there = tmp_path / "lr=1,seed=2"
    there.mkdir()
    for key in (f"run_dir={tmp_path}/a,b", f"stages.instruct.init_from={there}"):
        assert swept(key, "seed=1,2") == [["seed=1"], ["seed=2"]]
    with pytest.raises(ConfigError) as caught:
        swept("+stages.align.init_from=not there,b=c/final", "seed=1,2")
    several, one = re.findall(r"(?:several|or one): (.*)$", str(caught.value), re.M)
    (several,), (one,) = shlex.split(several), shlex.split(one)
    assert swept(one, "seed=1,2") == [["seed=1"], ["seed=2"]]
    assert len(swept(several)) == 2
    jobs = multirun.combinations([several])
    found = [composed("experiment=demo", *job, name="train").stages for _, job in jobs]
    assert [stages.align.init_from for stages in found] == ["not there", "b=c/final"]


def test_folders_of_a_sweep_are_names_that_differ_as_the_jobs_do() -> None:
    def folders(*overrides: str) -> list[str]:
        return [multirun._name(names) for names in swept(*overrides)]

    assert folders("seed=1,2", "stages.instruct.trainable.lora.lr=1e-4,0.5") == [
        "seed=1,stages.instruct.trainable.lora.lr=0.0001",
        "seed=1,stages.instruct.trainable.lora.lr=0.5",
        "seed=2,stages.instruct.trainable.lora.lr=0.0001",
        "seed=2,stages.instruct.trainable.lora.lr=0.5",
    ]
    odd = folders("data.manifest=choice(a/b,a-b,a:b,'a,b')", "data.prompt.system='a b','a,b'")
    assert len(set(odd)) == 8
    for name in [*odd, *folders(f"name={'x' * 300},{'x' * 301}")]:
        assert re.fullmatch(r"[\w.=+,-]{1,255}", name)


def leaves(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its path; a list is one value."""
    if not isinstance(node, dict) or not node:
        yield where, node
        return
    for key, value in node.items():
        if " " in str(key):  # Hydra's keys have none: the dictionary that it is in is given whole
            continue
        yield from leaves(value, f"{where}.{key}" if where else str(key))


def other(value: Any) -> Any:
    """Another value of the kind, with what Hydra's grammar could trip over."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        assert not any(isinstance(each, dict | list) for each in value), f"{value}: give it names"
        return [*map(other, value), "a=b, [c]"]
    return "null" if value is None else f"{value} =,'\"[x] 中"


def typed(key: str, value: Any) -> str:
    """The override of a key, in Hydra's grammar."""

    def shown(each: Any) -> str:
        return quoted("", each)[1:] if isinstance(each, str) else str(each)

    if isinstance(value, list):
        return f"{key}=[{','.join(map(shown, value))}]"
    return f"{key}={shown(value)}"


def trees() -> list[tuple[str, tuple[str, ...]]]:
    """Every experiment and model, and all benchmarks and asked models beside each other."""

    def names(group: str) -> list[str]:
        return sorted(path.stem for path in (CONF / group).glob("*.yaml"))

    rest = [f"+{g}@all.{n}={n}" for g in ("benchmark", "ask", "reader") for n in names(g)]
    return [
        *(("train", (f"experiment={name}",)) for name in names("experiment")),
        *(("train", ("experiment=demo", f"model={name}")) for name in names("model")),
        ("eval", tuple(rest)),
    ]


@pytest.mark.parametrize(("name", "choices"), trees())
def test_every_value_can_be_given_on_the_command_line(name: str, choices: tuple[str, ...]) -> None:
    """All of them at once, through Hydra's own parser and composition."""
    tree: Any = OmegaConf.to_container(composed(*choices, name=name))
    wanted = {key: other(value) if value != {} else {} for key, value in leaves(tree)}
    overrides = [typed(key, value) for key, value in wanted.items() if value != {}]
    got = composed(*choices, *overrides, name=name)
    found = dict(leaves(OmegaConf.to_container(got)))
    assert found == wanted


@pytest.mark.parametrize(("name", "choices"), trees())
def test_values_with_a_path_in_them_have_the_keys_that_take_one(
    name: str, choices: tuple[str, ...]
) -> None:
    """So that a new key of that kind is added to those that need no quotes."""
    tree: Any = OmegaConf.to_container(composed(*choices, name=name))
    for key, value in leaves(tree):
        path = re.compile(r"(asset:|outputs/|\$\{data\.manifest\}|https?://|[\w-]+/[\w.-]+$).*")
        other = "source" in key or key.endswith(".metric")  # `val/labels`
        if isinstance(value, str) and path.fullmatch(value) and not other:
            assert is_path(key), f"{key}: {value}"
