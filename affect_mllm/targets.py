"""Which classes a YAML may name in `_target_`, and what their constructors take."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Union

from affect_mllm.types import ConfigError

OURS = "affect_mllm"
# Third-party classes that a YAML may name, by the module that defines them and their name there.
THIRD_PARTY = frozenset({"peft.tuners.lora.config.LoraConfig"})
_NAMES = "correct the name; the files of conf/ have those there are"
# Modules whose classes checkpoints name by an earlier place.
MOVED = {
    "affect_mllm.models.llm": "affect_mllm.models.llm.language_model",
    "affect_mllm.models.native_vlm": "affect_mllm.models.vlm.native_vlm",
    "affect_mllm.train.benchmarks": "affect_mllm.train.plan.stage",
    "affect_mllm.train.launch": "affect_mllm.train.layout.launch",
    "affect_mllm.train.optim": "affect_mllm.train.plan.optim",
    "affect_mllm.train.speed": "affect_mllm.train.plan.speed",
    "affect_mllm.train.stage": "affect_mllm.train.plan.stage",
    "affect_mllm.train.trainable": "affect_mllm.train.plan.trainable",
}


def option_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The evaluated annotations of a class's constructor or of a function."""
    # A dataclass inherits fields from other modules; only the class knows their names' meaning.
    plain_class = inspect.isclass(target) and not is_dataclass(target)
    shown = target.__init__ if plain_class else target
    hints = typing.get_type_hints(shown, include_extras=True)
    hints.pop("return", None)
    return hints


def resolve(path: object, plugins: Collection[str] = ()) -> Callable[..., Any]:
    """The class that a dotted path names (of a plugin also a function), if a YAML may name it.

    Judged by the module and the name of the object that the path resolves to, so that
    `affect_mllm.config.importlib.import_module` does not pass. Raises ConfigError.
    """
    if not isinstance(path, str):
        raise ConfigError("_target_", repr(path), expected="the dotted name of a class")
    roots = {OURS, *plugins, *(name.split(".")[0] for name in THIRD_PARTY)}
    if path.split(".")[0] not in roots:
        raise ConfigError(path, "outside affect_mllm", fix=_plugin_hint(path))
    module, _, name = path.rpartition(".")
    target = _locate(f"{MOVED[module]}.{name}" if module in MOVED else path)
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
    defined = f"{module}.{name}"
    package = module.split(".")[0]
    # Of ours only classes: functions such as `checkpoint.replace_folder` act when called.
    inside = package in plugins or (package == OURS and inspect.isclass(target))
    if not callable(target) or not (inside or defined in THIRD_PARTY):
        raise ConfigError(
            path,
            f"resolves to {defined}",
            expected="a class of affect_mllm",
            fix=_plugin_hint(path),
        )
    return target


def misfit(hint: Any, value: object, plugins: Collection[str] = ()) -> str | None:
    """Why `value` holds a node whose object has no place in an option of this annotation.

    Constructors act (a log empties its file), so one of ours runs only where its kind is expected.
    What a plugin's class is like is its author's affair.
    """
    if isinstance(value, list | dict) and "_target_" not in value:
        items = value.values() if isinstance(value, dict) else value
        inner = _items_hint(hint, type(value))
        return next((why for each in items if (why := misfit(inner, each, plugins))), None)
    if not isinstance(value, dict):
        return None
    if value.get("_partial_"):
        made = list(_made_by(hint))
        if not made:
            return f"{value['_target_']} is wanted here itself, not with _partial_"
        hint = Union[tuple(made)]  # noqa: UP007
    try:
        target = resolve(value["_target_"], plugins)
    except ConfigError:
        return None  # said where the node itself is looked at
    kinds = _kinds(hint)
    if kinds is None or target.__module__.split(".")[0] in plugins:
        return None
    if inspect.isclass(target) and issubclass(target, kinds):
        return None
    return f"{value['_target_']} makes no {' or '.join(kind.__qualname__ for kind in kinds)}"


def _kinds(hint: Any) -> tuple[type, ...] | None:
    """The classes of which an option's object has to be; None where that cannot be said."""
    kinds = [typing.get_origin(each) or each for each in _alternatives(hint)]
    said = all(inspect.isclass(each) and not getattr(each, "_is_protocol", False) for each in kinds)
    return tuple(kinds) if said and Any not in kinds else None


def _made_by(hint: Any) -> Iterator[Any]:
    """What the callables among an annotation's members make; Any where that is not said."""
    for each in _alternatives(hint):
        if typing.get_origin(each) is Callable:
            yield (typing.get_args(each) or (Any,))[-1]
        elif not inspect.isclass(each) or each is object or getattr(each, "_is_protocol", False):
            yield Any


def _items_hint(hint: Any, container: type) -> Any:
    """The annotation of a list's items or of a mapping's values; `object` where there is none."""
    for each in _alternatives(hint):
        origin, parts = typing.get_origin(each), typing.get_args(each)
        if (
            inspect.isclass(origin)
            and parts
            and (issubclass(origin, Mapping) == (container is dict))
        ):
            return parts[-1] if container is dict else parts[0]
    return object


def _alternatives(hint: Any) -> Iterator[Any]:
    """The members of a union, without None; what is `Annotated` without its notes."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, UnionType):
        for part in typing.get_args(hint):
            yield from _alternatives(part)
    elif hint is not type(None):
        yield hint


def _locate(path: str) -> Any:
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:split])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and module_name.startswith(error.name):
                continue
            raise ConfigError(
                path, f"needs the package {error.name}", fix=f"pip install {error.name}"
            ) from error
        try:
            for part in parts[split:]:
                found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(
                path,
                str(error),
                fix=_NAMES,
            ) from error
        return found
    raise ConfigError(path, "no such module", fix=_NAMES)


def _plugin_hint(path: str) -> str:
    package = path.split(".")[0]
    return (
        f"admit a package of your own on the command line: plugins=[{package}] beside key=value, "
        f"--plugins {package} for predict and export"
    )
