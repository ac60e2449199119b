"""What trains: a stage's named groups of parameters, and which parameters of a model they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, NonNegativeFloat, TypeAdapter
from pydantic import ValidationError as Invalid
from torch import nn

from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.train.plan.names import NAME, check_names, refusing
from affect_mllm.types import ConfigError

_EXAMPLE = r"lora: {match: 'llm\..*lora_.*', lr: 2.0e-4}"


@dataclass(frozen=True)
class Group:
    """Parameters that train at one rate: those whose whole name `match` fits, a regex or several.

    `lr` is the peak learning rate; without a `weight_decay` of its own it has the stage's. A group
    with `if_any` may match nothing.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    match: str | list[str]
    lr: NonNegativeFloat
    weight_decay: NonNegativeFloat | None = None
    if_any: bool = False

    @property
    def regexes(self) -> list[str]:
        """`match` as a list."""
        return [self.match] if isinstance(self.match, str) else list(self.match)


def named(given: Mapping[str, Any]) -> dict[str, Group]:
    """A stage's groups, from mappings as a YAML has them, or as they are.

    Raises ConfigError for what is no group, and for regexes without names (`regex: rate`), with
    what to write instead.
    """
    try:
        return _groups(given)
    except ValueError as error:
        raise ConfigError("stage.trainable", str(error)) from error


def _groups(given: Mapping[str, Any]) -> dict[str, Group]:
    if not given:
        raise ValueError(f"nothing trains; add a group such as {_EXAMPLE}")
    if any(_nameless(name, value) for name, value in given.items()):
        raise ValueError(
            "groups have names, by which a command line reaches them; write\n"
            f"    trainable: {_new(given)}"
        )
    check_names(given)
    return {name: _group(name, value) for name, value in given.items()}


def _group(name: str, value: Any) -> Group:
    if isinstance(value, Group):
        return value
    try:
        group = TypeAdapter(Group).validate_python(value)
    except Invalid as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"group {name}: {said}; it looks like {_EXAMPLE}") from error
    for regex in group.regexes:
        try:
            re.compile(regex)
        except re.error as error:
            raise ValueError(f"group {name}: match: {regex!r} is no regex ({error})") from error
    return group


def _nameless(name: str, value: object) -> bool:
    """Whether it is `regex: rate` or `regex: {lr: rate}`."""
    if isinstance(value, Mapping):
        return "match" not in value and not NAME.fullmatch(name)
    return isinstance(value, int | float)


def _new(given: Mapping[str, Any]) -> str:
    """A mapping without names as one with names, for a YAML or a command line."""
    found: dict[str, str] = {}
    for key, value in given.items():
        name, options = key, {"lr": value}
        if isinstance(value, Group):
            options = {"match": value.match, "lr": value.lr}
        elif isinstance(value, Mapping):
            options = dict(value)
        if "match" not in options:
            # Of `llm\..*lora_.*` it is lora, of `encoders\.audio\..*` audio.
            words = [word.strip("_") for word in re.findall(r"[A-Za-z_]\w*", key)]
            name, options = next(iter(words[::-1]), "all"), {"match": key, **options}
        while name in found:
            name += "_too"
        shown = (f"{k}: {_shown(v)}" for k, v in options.items())
        found[name] = f"{name}: {{{', '.join(shown)}}}"
    return f"{{{', '.join(found.values())}}}"


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


# The type of a stage's `trainable`: the check of a configuration says the same as `named`.
Trainable = Annotated[dict[str, Group], refusing(_groups)]


def select(model: nn.Module, trainable: Mapping[str, Group]) -> dict[str, list[nn.Parameter]]:
    """Freeze all, then unfreeze what a group matches; the first group that does decides.

    A parameter of several names (tied embeddings, an encoder that two share) trains by any of them.
    Returns the parameters by group. Raises ConfigError for a regex that matches no parameter, and
    for a quantised weight, which cannot train.
    """
    members: dict[str, list[nn.Parameter]] = {name: [] for name in trainable}
    wanted = [(name, regex) for name, group in trainable.items() for regex in group.regexes]
    patterns = [(*each, re.compile(each[1])) for each in wanted]
    matched = set()
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    for parameter, (parameter_name, *others) in names.items():
        known = (parameter_name, *others)
        hits = [(n, regex) for n, regex, p in patterns if any(p.fullmatch(each) for each in known)]
        if hits and not parameter.is_floating_point():
            raise ConfigError(
                f"stage.trainable.{hits[0][0]}.match",
                f"{parameter_name} is kept in few bits ({parameter.dtype})",
                expected="weights in floating point",
                fix="train LoRA beside it, or set model.llm.quantize=none",
            )
        parameter.requires_grad_(bool(hits))
        matched.update(hits)
        if hits:
            members[hits[0][0]].append(parameter)
    for name, regex in wanted:
        if (name, regex) not in matched and not trainable[name].if_any:
            raise ConfigError(
                f"stage.trainable.{name}.match",
                f"{regex!r} matches no parameter",
                expected=f"a regex for whole names such as {_examples(model)}",
            )
    return {name: parameters for name, parameters in members.items() if parameters}


def unfreeze(model: nn.Module, trainable: Mapping[str, Group]) -> dict[str, list[nn.Parameter]]:
    """`select`, and what trains becomes float32, as `Engine.prepare` makes it with an engine."""
    members = select(model, trainable)
    for parameters in members.values():
        for parameter in parameters:
            parameter.data = parameter.data.float()
    return members


def quiet(model: nn.Module) -> None:
    """Switch chance off while training: dropout, and noise on embeddings.

    In stages that compare answers: what is compared, or was drawn, has to be the same function.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, LanguageModel):
            module.neftune_alpha = 0.0


def spoken(members: Mapping[str, list[nn.Parameter]], trainable: Mapping[str, Group]) -> str:
    """The groups in words: how many parameters each has, and its peak rate."""
    counts = {name: sum(p.numel() for p in parameters) for name, parameters in members.items()}
    return ", ".join(f"{n} {c / 1e6:.2f} M at {trainable[n].lr:g}" for n, c in counts.items())


def _examples(model: nn.Module) -> str:
    """A parameter name of each top-level part that is not a pretrained base."""
    firsts: dict[str, str] = {}
    for name, _ in model.named_parameters():
        if name.startswith(("compressors.", "fusion.", "mixes.")) or "lora_" in name:
            firsts.setdefault(name.split(".")[0], name)
    return ", ".join(firsts.values())
