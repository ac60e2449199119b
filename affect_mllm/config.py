"""Configuration: where it lives, `check` before anything is built, `build` as the one instantiator.

A YAML node with `_target_` names a class; the class's signature and annotations are its schema.
"""

from __future__ import annotations

import importlib
import inspect
import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from affect_mllm.types import AffectError, CheckpointError, ConfigError

OURS = "affect_mllm"
# Third-party classes that a YAML may name, by the module that defines them and their name there.
THIRD_PARTY = frozenset({"peft.tuners.lora.config.LoraConfig"})
SPECIAL_KEYS = frozenset({"_target_", "_partial_", "_recursive_"})


def assets_dir() -> Path:
    """Folder of the converted default weights: `$AFFECT_ASSETS_DIR` or the user's cache."""
    default = Path.home() / ".cache" / "affect_mllm" / "assets"
    return Path(os.environ.get("AFFECT_ASSETS_DIR") or default)


def cache_dir() -> Path:
    """Folder for what can be made again: `$AFFECT_CACHE_DIR` or the user's cache."""
    return Path(os.environ.get("AFFECT_CACHE_DIR") or Path.home() / ".cache" / "affect_mllm")


def conf_dir() -> Path:
    """The tree of YAML groups: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent / "conf", package / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise ConfigError("conf", f"no conf/ beside or inside {package}", fix="reinstall affect-mllm")


def weights_path(name: str) -> str:
    """`asset:NAME` → the converted folder; a local folder or a Hub id is returned as it is.

    Raises CheckpointError when the asset was not fetched yet.
    """
    if not name.startswith("asset:"):
        return name
    folder = assets_dir() / name.removeprefix("asset:")
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            name, f"no such folder: {folder}", fix="run `affect-mllm assets` (or `make demo`)"
        )
    return str(folder)


def compose(name: str, overrides: Sequence[str]) -> DictConfig:
    """`conf/NAME.yaml` with overrides. Hydra's refusals become one ConfigError."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra_compose(name, overrides=list(overrides))
    except HydraException as error:
        cause = error.__cause__
        detail = f"{error}" + (f" ({cause})" if cause and str(cause) not in str(error) else "")
        raise ConfigError("command line", detail.strip(), fix="see README, “Overrides”") from error


def checked(cfg: DictConfig) -> DictConfig:
    """The config, after `config.check` with the plugins it was given on the command line."""
    plugins = [str(name) for name in cfg.get("plugins") or []]
    check(cfg, plugins=plugins)
    return cfg


def check(cfg: DictConfig, *, plugins: Sequence[str] = ()) -> None:
    """Check every `_target_` node of `cfg` before anything is built.

    A target must be defined inside `affect_mllm`, be on the list of third-party classes, or live
    in a package named in `plugins`; its keys must fit the signature and its values the
    annotations. Raises one ConfigError that lists all problems, each with its config path.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError("config", str(error).splitlines()[0]) from error
    found = list(_problems(plain, "", tuple(plugins)))
    if found:
        lines = "".join(f"\n  {where}: {what}" for where, what in found)
        raise ConfigError("config", f"{len(found)} problem(s){lines}")


def build(cfg: Mapping[str, Any] | DictConfig) -> Any:
    """The object that a checked node describes; the only caller of hydra's instantiate.

    Lists and mappings reach constructors as plain `list` and `dict`. What a constructor raises of
    our own errors comes out as it is; a value it refuses is a ConfigError.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(cfg, _convert_="all")
    except InstantiationException as error:
        raise _cause(error) from error


def _cause(error: BaseException) -> BaseException:
    """What a constructor raised, out of hydra's wrapping."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    ours = next((each for each in chain if isinstance(each, AffectError)), None)
    if ours is not None:
        return ours
    if isinstance(chain[-1], ValueError | TypeError):
        return ConfigError("config", str(chain[-1]))
    return chain[-1]


def _problems(node: object, where: str, plugins: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _problems(item, f"{where}[{index}]", plugins)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        yield from _node_problems(node, where, plugins)
    for key, value in node.items():
        yield from _problems(value, _under(where, key), plugins)


def _node_problems(
    node: dict[str, Any], where: str, plugins: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    try:
        target = resolve(str(node["_target_"]), plugins)
    except ConfigError as error:
        yield where or "(root)", str(error)
        return
    signature = inspect.signature(target)
    given = {key: value for key, value in node.items() if key not in SPECIAL_KEYS}
    for key in node:
        if key.startswith("_") and key not in SPECIAL_KEYS:
            yield _under(where, key), f"not allowed; use {', '.join(sorted(SPECIAL_KEYS))}"
    names = [name for name in signature.parameters if name != "self"]
    for key in given:
        if key not in names and not key.startswith("_"):
            yield _under(where, key), f"{target.__qualname__} has no such option{_near(key, names)}"
    if not node.get("_partial_"):
        yield from _missing(signature, given, where, target)
    yield from _bad_values(target, given, where)


def _missing(
    signature: inspect.Signature, given: dict[str, Any], where: str, target: Callable[..., Any]
) -> Iterator[tuple[str, str]]:
    for name, parameter in signature.parameters.items():
        needed = parameter.default is inspect.Parameter.empty and name != "self"
        if needed and name not in given:
            yield _under(where, name), f"missing; {target.__qualname__} needs it"


def _bad_values(
    target: Callable[..., Any], given: dict[str, Any], where: str
) -> Iterator[tuple[str, str]]:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    hints = option_types(target)
    for key, value in given.items():
        if key not in hints:
            continue
        if (needed := _untargeted(hints[key], value)) is not None:
            yield _under(where, key), f"got {value!r}: say what it is, _target_: {needed}"
            continue
        if _has_target(value):
            continue
        try:
            TypeAdapter(
                hints[key], config=ConfigDict(arbitrary_types_allowed=True)
            ).validate_python(value)
        except ValidationError as error:
            reasons = sorted({problem["msg"] for problem in error.errors()})
            yield _under(where, key), f"got {value!r}: {'; '.join(reasons)}"
        except TypeError as error:  # a dataclass given as a plain mapping with wrong keys
            yield _under(where, key), f"got {value!r}: {error}"


def _untargeted(hint: Any, value: object) -> str | None:
    """The class that a mapping without `_target_` should name, where only its object will do.

    An `Annotated` option takes the mapping as well.
    """
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) in (typing.Union, UnionType) and len(parts) == 1:
        return _untargeted(parts[0], value)  # an option that may also be null
    if isinstance(value, list) and len(parts) == 1:
        return next((name for v in value if (name := _untargeted(parts[0], v))), None)
    if not isinstance(value, dict) or "_target_" in value:
        return None
    if typing.get_origin(hint) is dict:
        return next((name for v in value.values() if (name := _untargeted(parts[-1], v))), None)
    if inspect.isclass(hint) and is_dataclass(hint):
        return f"{hint.__module__}.{hint.__qualname__}"
    return None


def option_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The evaluated annotations of a class's constructor or of a function."""
    # A dataclass inherits fields from other modules; only the class knows their names' meaning.
    plain_class = inspect.isclass(target) and not is_dataclass(target)
    shown = target.__init__ if plain_class else target
    hints = typing.get_type_hints(shown, include_extras=True)
    hints.pop("return", None)
    return hints


def resolve(path: str, plugins: Collection[str] = ()) -> Callable[..., Any]:
    """The class that a dotted path names (of a plugin also a function), if a YAML may name it.

    Judged by the module and the name of the object that the path resolves to, so that
    `affect_mllm.config.importlib.import_module` does not pass. Raises ConfigError.
    """
    roots = {OURS, *plugins, *(name.split(".")[0] for name in THIRD_PARTY)}
    if path.split(".")[0] not in roots:
        raise ConfigError(path, "outside affect_mllm", fix=_plugin_hint(path))
    target = _locate(path)
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


def _locate(path: str) -> Any:
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:split])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and module_name.startswith(error.name):
                continue
            raise ConfigError(path, f"needs the package {error.name}") from error
        try:
            for part in parts[split:]:
                found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(path, str(error)) from error
        return found
    raise ConfigError(path, "no such module")


def _has_target(value: object) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_has_target(item) for item in value.values())
    return isinstance(value, list) and any(_has_target(item) for item in value)


def _under(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _near(key: str, names: Sequence[str]) -> str:
    close = get_close_matches(key, names, 1)
    return f"; did you mean {close[0]}?" if close else f"; it has {', '.join(names) or 'none'}"


def _plugin_hint(path: str) -> str:
    return f"admit a package of your own with plugins=[{path.split('.')[0]}] on the command line"
