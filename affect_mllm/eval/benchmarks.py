"""The benchmarks and suites of `conf/` and of one's own folders: their names, and reading one."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from affect_mllm import config
from affect_mllm.eval.own_labels import OwnLabels
from affect_mllm.eval.task import Task
from affect_mllm.overrides import SEARCHPATH, quoted
from affect_mllm.types import ConfigError

GROUP = "benchmark"
OWN_FOLDERS = "AFFECT_BENCHMARKS"  # folders of benchmarks, as PATH writes several


@dataclass(frozen=True)
class Suite:
    """Benchmarks whose primary metrics (each one's first) make one mean, all by one checkpoint.

    With `against`, the name of another suite, there is no mean: both suites' benchmarks are asked
    of every stage of a run, to see what was won here and lost there.
    `name` is the file's, `version` changes with what a mean means, `benchmarks` are names of
    `conf/benchmark`, `source` says who put them together.
    """

    name: str
    version: str
    benchmarks: tuple[str, ...]
    source: str = ""
    against: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """All benchmarks that it takes, those of `against` too."""
        others = load_suite(self.against).benchmarks if self.against else ()
        return tuple(dict.fromkeys((*self.benchmarks, *others)))


def benchmark_names() -> list[str]:
    """Names of the benchmarks in `conf/benchmark` that are whole without a manifest, sorted."""
    own = f"_target_: {target_of(OwnLabels)}"
    return [name for name in _names(GROUP) if own not in _path(GROUP, name).read_text("utf-8")]


def suite_names() -> list[str]:
    """Names of the suites in `conf/suite`, sorted."""
    return _names("suite")


def load_task(name: str, manifest: Path | None = None) -> Task:
    """The task of a name, or of a YAML file; ConfigError if unknown or wrongly written.

    One whose labels are a manifest's own (`own_clips`) is made for `manifest`, which it needs.
    Names are those of `conf/benchmark` and of the folders in `$AFFECT_BENCHMARKS`. Where a folder
    has a name that is taken, that is a ConfigError, too.
    """
    if name.endswith((".yaml", ".yml")):
        return read_task(Path(name), manifest)
    return read_task(_own().get(name) or _path(GROUP, name), manifest)


def load_suite(name: str) -> Suite:
    """The suite of `conf/suite/NAME.yaml`; ConfigError if it, or a benchmark of it, is unknown."""
    path = _path("suite", name)
    suite: Suite = _typed(Suite, path, _mapping(path))
    unknown = sorted(set(suite.benchmarks) - set(benchmark_names()))
    if unknown:
        raise ConfigError(
            f"suite {name}.benchmarks", f"{unknown}", expected=f"some of {benchmark_names()}"
        )
    return suite


def read_task(path: Path, manifest: Path | None = None) -> Task:
    """The task written in one YAML file; ConfigError lists unknown keys and wrong values."""
    values = _mapping(path)
    if values.get("_target_") != target_of(OwnLabels):
        task: Task = _typed(Task, path, values)
        return task
    labels: OwnLabels = _typed(OwnLabels, path, values)
    if manifest is None:
        raise ConfigError(str(path), "no manifest to take its labels from", fix="name one manifest")
    return labels.of(manifest)


def target_of(kind: type) -> str:
    """What a YAML calls a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _own() -> dict[str, Path]:
    """The benchmarks of `$AFFECT_BENCHMARKS` by name."""
    found: dict[str, Path] = {}
    taken = set(_names(GROUP))
    for folder in filter(None, os.environ.get(OWN_FOLDERS, "").split(os.pathsep)):
        if not Path(folder).is_dir():
            raise ConfigError(
                OWN_FOLDERS,
                f"no such folder: {folder}",
                fix="correct it, or take it out of the variable",
            )
        for path in sorted(Path(folder).glob("*.yaml")):
            if path.stem in taken:
                raise ConfigError(
                    OWN_FOLDERS, f"{path} has a name that is taken", fix="give it another name"
                )
            taken.add(path.stem)
            found[path.stem] = path
    return found


def _names(group: str) -> list[str]:
    return sorted(path.stem for path in (config.conf_dir() / group).glob("*.yaml"))


def _path(group: str, name: str) -> Path:
    if name not in _names(group):
        own = sorted(_own()) if group == GROUP else []
        raise ConfigError(group, repr(name), expected=f"one of {[*_names(group), *own]}")
    return config.conf_dir() / group / f"{name}.yaml"


def _mapping(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
        if isinstance(values, dict):
            made = _composed(path) if "defaults" in values else values
            values = OmegaConf.to_container(OmegaConf.create(made), resolve=True)
    except ConfigError:
        raise
    except Exception as error:  # the YAML reader has many error classes, all meaning the same
        raise ConfigError(
            str(path), f"not readable as YAML: {error}", fix="mend that line"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(str(path), "not a mapping", expected="keys and values")
    return {str(key): value for key, value in values.items()}


def _composed(path: Path) -> Any:
    """What Hydra makes of a YAML whose `defaults` name options of its group, as in `eval.py`.

    They are those of `conf/` and files beside it with names of their own. ConfigError with what
    Hydra refuses.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    ours, name = config.conf_dir(), "the-file"
    try:
        with TemporaryDirectory() as folder:
            place = Path(folder, GROUP)
            place.mkdir()
            for each in path.parent.glob("*.yaml"):
                if not (ours / GROUP / each.name).is_file():
                    (place / each.name).symlink_to(each.resolve())
            (place / f"{name}.yaml").symlink_to(path.resolve())
            with initialize_config_dir(folder, version_base="1.3"):
                also = f"{SEARCHPATH}=[{quoted('', str(ours))[1:]}]"
                return compose(f"{GROUP}/{name}", overrides=[also])[GROUP]
    except HydraException as error:
        said = str(error).strip().splitlines()[0].replace(f"{GROUP}/{name}", path.name)
        raise ConfigError(
            str(path), said, expected="defaults: [NAME, _self_], of ours or beside the file"
        ) from error


def _typed(kind: type, path: Path, values: dict[str, Any]) -> Any:
    """The object of `kind` that a YAML file's values write down, `_target_` left out or right."""
    from pydantic import TypeAdapter, ValidationError

    target = target_of(kind)
    if values.pop("_target_", target) != target:
        what = "not a suite" if kind is Suite else "not a benchmark"
        raise ConfigError(str(path), what, expected=f"_target_: {target} and fields")
    known = sorted(entry.name for entry in fields(kind))
    if unknown := sorted(key for key in values if key not in known):
        raise ConfigError(str(path), f"unknown keys {unknown}", expected=f"some of {known}")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(str(path), found, fix="correct these fields") from error
