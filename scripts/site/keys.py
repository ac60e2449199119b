"""The page of every key of the configuration, from the signatures and docstrings of its classes."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from affect_mllm.config import conf_dir
from affect_mllm.targets import OURS, option_types, resolve
from scripts.site.links import ROOT

HEAD = """# Every key of the configuration

Made of `conf/` and of the signatures and docstrings of the classes that its files name in
`_target_`: those are the schema that every run is checked against. `group@place=name` puts a file
of a group at a place, `place.key=value` sets a key there, as in
[overrides](../overrides.md). A key without a default has to be given.
"""
THEIRS = "as its package documents it"
# What a YAML may name though no file of conf/ does: the classes of these modules, and of the pages.
BESIDE = ("affect_mllm.rewards.text", "affect_mllm.rewards.wheel", "affect_mllm.rewards.judge")
NAMED = re.compile(r"_target_: (affect_mllm\.[\w.]+\w)")


@dataclass
class Described:
    """A class that a YAML may name, the files of conf/ that do, and what these say of its keys."""

    target: Callable[..., Any]
    files: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)  # keys that files of conf/ have
    is_part: bool = False  # named with `_partial_`: what it is a part of gives the rest

    @property
    def path(self) -> str:
        """What stands in `_target_`."""
        return f"{self.target.__module__}.{self.target.__qualname__}"


def described() -> dict[str, Described]:
    """By its dotted name each class that conf/ names or that an option of such a class takes."""
    found: dict[str, Described] = {}
    for path in sorted(conf_dir().rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for node in nodes(yaml.safe_load(text)):
            target = resolve(node["_target_"])
            each = found.setdefault(Described(target).path, Described(target))
            each.files += [str(path.relative_to(conf_dir()))]
            each.comments |= comments(text, inspect.signature(target).parameters)
            each.given |= node.keys()
            each.is_part |= node.get("_partial_", False)
    for target in beside():
        found.setdefault(Described(target).path, Described(target))
    todo = [each.target for each in found.values()]
    while todo:
        for target in taken(todo.pop()):
            if (each := Described(target)).path not in found:
                found[each.path] = each
                todo.append(target)
    return found


def beside() -> Iterator[Callable[..., Any]]:
    """The classes that a YAML may name and no file of conf/ does: rewards, and those of pages."""
    for module in BESIDE:
        for value in vars(import_module(module)).values():
            if inspect.isclass(value) and value.__module__ == module and value.__doc__:
                yield value
    for page in sorted((ROOT / "docs").glob("*.md")):
        # The extending page's classes are its reader's.
        names = NAMED.findall(page.read_text(encoding="utf-8")) if page.stem != "extend" else ()
        yield from map(resolve, names)


def nodes(node: object) -> Iterator[dict[str, Any]]:
    """Every node of a YAML that has a `_target_`."""
    if isinstance(node, dict) and "_target_" in node:
        yield node
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for each in inner:
        yield from nodes(each)


def comments(text: str, names: Mapping[str, object]) -> dict[str, str]:
    """What a file says behind the first mention of these keys."""
    said = re.findall(r"^ *(?:- )?(\w+):[^#\n]*  # (.+)$", text, re.M)
    return {key: comment for key, comment in reversed(said) if key in names}


def taken(target: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The package's dataclasses that options of `target` are made of."""
    todo = list(option_types(target).values())
    while todo:
        each = todo.pop()
        todo += typing.get_args(each)
        if inspect.isclass(each) and is_dataclass(each) and each.__module__.startswith(OURS):
            yield each


def sentences(doc: str) -> list[str]:
    """A docstring's sentences, each on one line."""
    flat = [" ".join(part.split()) for part in doc.split("\n\n")]
    return [each for part in flat for each in re.split(r"(?<=[.;]) (?=[A-Z`(])", part)]


def meaning(key: str, each: Described) -> str:
    """What is said of a key: by the docstring of its class, else of one it inherits, else by a file
    of conf/; empty if by none.
    """
    named = re.compile(rf"`{key}(?=[`=:, .\[])")
    for kind in each.target.__mro__ if inspect.isclass(each.target) else (each.target,):
        about = [said for said in sentences(_said(kind)) if named.search(said)]
        if about and kind.__module__.startswith(OURS):
            return next((said for said in about if said.startswith("`")), about[0])
    needed = inspect.signature(each.target).parameters[key].default is inspect.Parameter.empty
    if each.is_part and needed and key not in each.given:
        return "given by the model that it is a part of"
    return each.comments.get(key, "" if each.path.startswith(OURS) else THEIRS)


def options(target: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """The parameters that a YAML gives: no private ones, none that take whatever comes."""
    for name, parameter in inspect.signature(target).parameters.items():
        if (
            parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and name[0] != "_"
        ):
            yield parameter


def default(target: Callable[..., Any], parameter: inspect.Parameter) -> str:
    """A key's default as a YAML has it; empty where it has to be given."""
    if parameter.default is inspect.Parameter.empty:
        return ""
    for each in dataclasses.fields(target) if is_dataclass(target) else ():
        if each.name == parameter.name and callable(each.default_factory):
            return plain(each.default_factory())
    return plain(parameter.default)


def plain(value: object) -> str:
    """A default as a YAML would have it; an object by the name of its class."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple | frozenset):
        return "[" + ", ".join(map(plain, value)) + "]"
    if isinstance(value, str | int | float):
        return str(value) or '""'
    return value.__qualname__ if inspect.isclass(value) else type(value).__qualname__


def keys() -> str:
    """The page, as Markdown."""
    found = sorted(described().values(), key=lambda each: _order(each))
    groups = [*_groups(), ""]
    return "\n".join([HEAD, *groups, *(line for each in found for line in section(each))])


def section(each: Described) -> Iterator[str]:
    """The lines about a class."""
    yield from (f"## {each.target.__qualname__}", "", f"`_target_: {each.path}`", "")
    if each.path.startswith(OURS):
        for part in (inspect.getdoc(each.target) or "").split("\n\n"):
            yield from (escaped(part), "")
    if each.files:
        shown = ", ".join(f"`{name}`" for name in sorted(set(each.files))[:12])
        more = len(set(each.files)) - 12
        yield from (f"In `conf/`: {shown}" + (f" and {more} more." if more > 0 else "."), "")
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for option in options(each.target):
        value = default(each.target, option)
        kind = " ".join(str(option.annotation).split())
        cells = (f"`{option.name}`", f"`{kind}`", f"`{value}`" if value else "")
        yield row(*cells, escaped(meaning(option.name, each)))
    yield ""


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def escaped(text: str) -> str:
    """Text for a cell: on one line, without what Markdown would take for a tag."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(p if p.startswith("`") else p.replace("<", "&lt;") for p in parts)


def about(path: Path) -> str:
    """The first sentence of the comment that a file of conf/ begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = takewhile(lambda line: line.startswith("#"), lines)
    text = " ".join(line[1:].strip() for line in said if "@package" not in line)
    return re.split(r"(?<=[.;]) (?=[A-Z`])", text)[0]


def _groups() -> Iterator[str]:
    yield from ("## Groups", "", "| group | file | what it is |", "|---|---|---|")
    for path in sorted(conf_dir().glob("*/*.yaml")):
        yield row(f"`{path.parent.name}`", f"`{path.stem}`", escaped(about(path)))


def _said(kind: Callable[..., Any]) -> str:
    """The docstrings of a class and of its constructor."""
    own = vars(kind).get("__init__") if inspect.isclass(kind) else None
    return "\n\n".join(inspect.cleandoc(each.__doc__ or "") for each in (kind, own) if each)


def _order(each: Described) -> tuple[bool, str]:
    """The two roots first, then room by room."""
    return (not each.path.endswith((".TrainRun", ".EvalRun")), each.path)
