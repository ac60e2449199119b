"""One door: whatever a YAML describes is checked where it is built, and nothing else instantiates.

Poisoned nodes name functions and classes that leave a file behind; that no file is there is the
proof that nothing ran.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import affect_mllm
from affect_mllm import config
from affect_mllm.models import checkpoint
from affect_mllm.targets import resolve
from affect_mllm.tools import app
from affect_mllm.types import ConfigError

PACKAGE = Path(affect_mllm.__file__).parent
SCHEDULE = "affect_mllm.train.plan.optim.Schedule"
# What executes by a name that is data, and where the package may do it.
BY_NAME = {"instantiate", "get_method", "get_class", "get_object", "get_static_method", "locate",
           "eval", "exec", "__import__", "import_module", "load_module", "run_module", "run_path",
           "unsafe_load", "full_load"}  # fmt: skip
# The door itself, tables of the package's own modules, and an optional package by its fixed name.
TABLES = ("targets.py", "tools/app.py", "tools/assets.py", "tools/import_.py", "auto_classes.py",
          "media/heif.py")  # fmt: skip
MAY = {name: {"import_module"} for name in TABLES}


def bombs(mark: Path) -> list[dict[str, Any]]:
    """Nodes that would make `mark` if anything built them."""
    return [
        {"_target_": "os.mkdir", "path": str(mark)},
        {"_target_": "logging.FileHandler", "filename": str(mark)},
        {"_target_": "affect_mllm.models.checkpoint.torch.save", "obj": 1, "f": str(mark)},
        {"_target_": "affect_mllm.models.checkpoint.replace_folder", "finished": "/", "final": "/"},
        # A class of ours in a place of another: its constructor makes folders and files.
        {
            "_target_": "affect_mllm.train.watch.callbacks.JsonlLog",
            "path": {"_target_": "pathlib.Path", "_args_": [str(mark)]},
            "first_step": 0,
        },
    ]


def nestings(bomb: dict[str, Any]) -> dict[str, Any]:
    """Every form in which a node can hide another."""
    good = {"_target_": SCHEDULE}
    hidden = OmegaConf.create({"made": bomb})
    text = OmegaConf.to_yaml(hidden.made).replace("\n", ", ").rstrip(", ")
    return {
        "alone": bomb,
        "in a mapping": {"a": {"b": bomb}},
        "in a list": {"a": [[bomb]]},
        "as an option": {**good, "kind": bomb},
        "in an option": {**good, "kind": {"a": [bomb]}},
        "partial": {**bomb, "_partial_": True},
        "in a partial": {**good, "_partial_": True, "kind": bomb},
        "not recursive": {**good, "_recursive_": False, "kind": bomb},
        "under a target of its own": {"_target_": bomb},
        "by interpolation": {"a": {"kind": "${b}"}, "b": bomb},
        "made by a resolver": {"a": f"${{oc.create:'{{{text}}}'}}"},
        "made by an escaped resolver": {"a": f"\\${{oc.create:'{{{text}}}'}}"},
        "arguments by place": {**good, "_args_": [bomb]},
    }


FORMS = list(nestings({"_target_": "x"}))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", range(len(bombs(Path()))))
def test_nothing_poisoned_is_built_in_any_form(form: str, which: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    node = nestings(bombs(mark)[which])[form]
    given: Any = OmegaConf.create(node)
    if form == "made by an escaped resolver":
        # Text, and nothing but text: what was resolved once is not resolved again.
        assert isinstance(config.build(given)["a"], str)
    else:
        with pytest.raises(ConfigError):
            config.build(given)
    assert not os.listdir(tmp_path)


def test_the_refusal_names_target_and_place(tmp_path: Path) -> None:
    bomb = {"_target_": "os.mkdir", "path": str(tmp_path / "mark")}
    with pytest.raises(ConfigError, match=r"(?s)THERE: 1 problem.*a\[1\]\.b: os\.mkdir") as refused:
        config.build({"a": [1, {"b": bomb}]}, where="THERE")
    assert "plugins=[os]" in str(refused.value)


def test_a_class_of_another_kind_is_refused_before_it_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    log = {
        "_target_": "affect_mllm.train.watch.callbacks.JsonlLog",
        "path": str(mark),
        "first_step": 0,
    }
    stage = {
        "_target_": "affect_mllm.train.plan.stage.Stage",
        "name": "a",
        "sources": {},
        "steps": 1,
        "trainable": {"x": {"match": "x", "lr": 1.0}},
    }
    for node, place in (
        ({**stage, "schedule": log}, "schedule"),
        ({**stage, "sources": {"data": log}}, "sources"),
        ({**stage, "losses": {"lm": log}}, "losses"),
        ({**stage, "validation": log}, "validation"),
    ):
        with pytest.raises(ConfigError, match=rf"{place}: .*JsonlLog makes no "):
            config.build(node)
    from affect_mllm.data.settings import DataSettings

    with pytest.raises(ConfigError, match="JsonlLog makes no DataSettings"):
        config.build(log, kind=DataSettings)
    later = {**log, "_partial_": True}
    with pytest.raises(ConfigError, match="JsonlLog is wanted here itself, not with _partial_"):
        config.build(later, kind=DataSettings)
    compressor = {"_target_": "affect_mllm.models.compressor.projector.Projector",
                  "_partial_": True, "pooler": later}  # fmt: skip
    with pytest.raises(ConfigError, match=r"pooler: .*JsonlLog makes no "):
        config.build(compressor)
    assert not mark.exists()


PLUGIN = """
from pathlib import Path
from affect_mllm.train.plan.optim import Schedule

class Late(Schedule):
    pass

class Loose:
    def __init__(self, inner: object) -> None:
        self.inner = inner
"""


def test_plugins_are_admitted_by_the_caller_at_each_door(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "affect_door_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    late = {"_target_": "affect_door_plugin.Late", "warmup_steps": 3}
    loose = {"_target_": "affect_door_plugin.Loose", "inner": [late]}
    admitted = ["affect_door_plugin"]
    made = config.build(loose, plugins=admitted)
    assert made.inner[0].warmup_steps == 3
    unbuilt = config.build({**loose, "_recursive_": False}, plugins=admitted)
    with pytest.raises(ConfigError, match=r"plugins=\[affect_door_plugin\]"):
        config.build(unbuilt.inner[0])  # an admission does not outlive its call
    assert config.build(unbuilt.inner[0], plugins=admitted).warmup_steps == 3
    later = config.build({**late, "_partial_": True}, plugins=admitted)
    assert isinstance(later, functools.partial)
    assert later().warmup_steps == 3


def _poison(folder: Path, change: Callable[[Any], None]) -> None:
    """Change a checkpoint's config as someone would who wants it to be believed: hashes too."""
    import json

    cfg = OmegaConf.load(folder / "config.yaml")
    change(cfg)
    OmegaConf.save(cfg, folder / "config.yaml")
    meta = json.loads((folder / "meta.json").read_text())
    meta["hashes"]["config.yaml"] = checkpoint.file_hash(folder / "config.yaml")
    (folder / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("place", ["model.compressors.visual", "data.reader", "model", "data"])
@pytest.mark.parametrize("command", ["predict", "eval", "export"])
def test_a_poisoned_checkpoint_is_refused_by_every_command(
    tiny_run: Path, tiny, tmp_path: Path, command: str, place: str, capsys
) -> None:
    import shutil

    folder, mark = tmp_path / "final", tmp_path / "mark"
    shutil.copytree(tiny_run / "instruct/final", folder)
    bomb = {"_target_": "os.mkdir", "path": str(mark)}
    _poison(folder, lambda cfg: OmegaConf.update(cfg, place, bomb, merge=False))
    clip = str(tiny.root / "clips/c03.mp4")
    argv = {
        "predict": ["predict", clip, "--checkpoint", str(folder)],
        "eval": ["eval", f"checkpoint={folder}", f"manifest={tiny.root / 'manifest.jsonl'}",
                 f"run_dir={tmp_path / 'out'}"],
        "export": ["export", str(folder), "--out", str(tmp_path / "out")],
    }[command]  # fmt: skip
    with pytest.raises(SystemExit) as left:
        app.main(argv)
    said = capsys.readouterr().err
    assert left.value.code == 2, said
    assert f"{folder / 'config.yaml'}, {place.split('.')[0]}" in said
    assert "os.mkdir" in said
    assert not mark.exists()


@pytest.mark.parametrize("place", ["stages.align.schedule", "model.fusion", "launch", "speed"])
def test_a_poisoned_override_is_refused(tiny, tmp_path: Path, place: str, capsys) -> None:
    mark = tmp_path / "mark"
    bomb = f"{{_target_: os.mkdir, path: {mark}}}"
    given = [text for text in tiny.overrides(tmp_path / "run") if not text.startswith("launch")]
    with pytest.raises(SystemExit) as left:
        app.main(["train", *given, f"++{place}.extra={bomb}"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert f"{place}.extra: os.mkdir" in said
    assert not os.listdir(tmp_path)


def _by_name(tree: ast.AST) -> set[str]:
    """What a module calls of all that; `model.eval()` is no evaluation of text."""
    nodes = [*ast.walk(tree)]
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)} - {"eval"}
    found |= {node.id for node in nodes if isinstance(node, ast.Name)}
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom | ast.Import))
    found |= {alias.name.split(".")[-1] for node in imports for alias in node.names}
    return found & BY_NAME


def test_no_other_place_of_the_package_makes_objects_by_name() -> None:
    found = {
        str(path.relative_to(PACKAGE)): used
        for path in sorted(PACKAGE.rglob("*.py"))
        if (used := _by_name(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == MAY


EARLIER = """models.llm.LanguageModel models.native_vlm.NativeVLM train.stage.Stage
train.launch.Launch train.benchmarks.Asked train.optim.AdamW train.speed.Speed
train.trainable.Group"""


@pytest.mark.parametrize("name", EARLIER.split())
def test_what_a_checkpoint_of_before_names_is_found_where_it_lies_now(name: str) -> None:
    found = resolve(f"affect_mllm.{name}")
    assert found.__qualname__ == name.rpartition(".")[2]
    assert found.__module__.startswith(f"affect_mllm.{name.partition('.')[0]}.")
