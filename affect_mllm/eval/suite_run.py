"""A suite asked benchmark by benchmark, of one model or of every stage of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.eval.benchmarks import Suite, load_suite
from affect_mllm.eval.files import write_json_atomic
from affect_mllm.eval.lines import changed
from affect_mllm.eval.ranks import ranks
from affect_mllm.eval.score.forgetting import Asked, forgetting
from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint
from affect_mllm.types import ConfigError

KEYS = ("suite", "manifests")


@dataclass(frozen=True)
class Told:
    """What a command line says: the suite, the folder of its manifests, and everything else."""

    suite: Suite
    manifests: Path
    rest: tuple[str, ...]

    @classmethod
    def of(cls, overrides: Sequence[str]) -> Told | None:
        """None where no suite is asked for; ConfigError for what does not go with one."""
        values = dict(each.split("=", 1) for each in overrides if "=" in each)
        if "suite" not in values:
            return None
        if wrong := sorted({"benchmark", "manifest"} & values.keys()):
            raise ConfigError(
                ", ".join(wrong),
                "beside suite=",
                fix="manifests=FOLDER has BENCHMARK.jsonl of each",
            )
        other = values.get("model", "checkpoint") != "checkpoint"
        for key in ("manifests",) if other else ("manifests", "checkpoint"):
            if key not in values:
                raise ConfigError(key, "none", fix=f"give {key}=FOLDER beside suite=")
        suite = load_suite(values["suite"])
        if other and suite.against:
            raise ConfigError(
                f"suite={suite.name}",
                f"of model={values['model']}, which has no stages",
                expected="the run_dir of a training, as checkpoint=RUN",
            )
        rest = tuple(each for each in overrides if each.split("=", 1)[0] not in KEYS)
        return cls(suite, Path(values["manifests"]), rest)

    def runs(self) -> Iterator[list[str]]:
        """The overrides of each evaluation, in their order.

        A suite that makes a mean needs the manifest of each benchmark. One that is `against`
        another takes those that there are, of either at least one, and says what is left out; its
        checkpoint is a run's folder, and the stages' folders below `run_dir` are named like them.
        The first stage asks the model before training, too, unless `untrained=` says otherwise.
        ConfigError before anything is asked.
        """
        there = [name for name in self.suite.asked if self._manifest(name).is_file()]
        lacking = [name for name in self.suite.asked if name not in there]
        halves = (
            (self.suite.benchmarks, load_suite(self.suite.against).benchmarks)
            if self.suite.against
            else ()
        )
        empty = [half for half in halves if not {*half} & {*there}]
        if lacking and (empty or not self.suite.against):
            raise ConfigError(
                "manifests",
                f"{self.manifests} has no manifest of {', '.join(lacking)}",
                expected="BENCHMARK.jsonl of each benchmark of the suite",
            )
        if lacking:
            LOGGER.warning("left out, without a manifest: %s", ", ".join(lacking))
        for stage in self._stages():
            for name in there:
                yield [*stage, f"benchmark={name}", f"manifest={self._manifest(name)}"]

    def _manifest(self, name: str) -> Path:
        return self.manifests / f"{name}.jsonl"

    def finish(self) -> None:
        """Of a suite `against` another, RUN_DIR/forgetting.json: what each stage won and lost."""
        if not self.suite.against or not ranks().is_main:
            return
        asked = [Asked.of(folder, name) for name, folder in self._folders().items()]
        rows, path = forgetting(asked), self._out / "forgetting.json"
        write_json_atomic(path, {"suite": self.suite.name, "version": self.suite.version,
                                 "rows": rows})  # fmt: skip
        for row in rows:
            LOGGER.info("%s", "; ".join(changed(row)))
        folders = " ".join(map(str, self._folders().values()))
        LOGGER.info("%s; as a page: affect-mllm report %s", path, folders)

    @property
    def _values(self) -> dict[str, str]:
        return dict(each.split("=", 1) for each in self.rest if "=" in each)

    @property
    def _out(self) -> Path:
        return Path(self._values.get("run_dir", "outputs/eval"))

    def _folders(self) -> dict[str, Path]:
        """Where each stage's answers and scores lie."""
        return {name: self._out / name for name in stages(Path(self._values["checkpoint"]))}

    def _stages(self) -> list[list[str]]:
        """The overrides of each checkpoint that is asked."""
        if not self.suite.against:
            return [list(self.rest)]
        own = ("checkpoint", "run_dir", "untrained")
        rest = [each for each in self.rest if each.split("=", 1)[0] not in own]
        before = self._values.get("untrained", "true")
        found = [
            [*rest, f"checkpoint={checkpoint}", f"run_dir={self._out / name}"]
            for name, checkpoint in stages(Path(self._values["checkpoint"])).items()
        ]
        return [[*found[0], f"untrained={before}"], *found[1:]]


def stages(run: Path) -> dict[str, Path]:
    """Stage → its checkpoint, in the order in which a run's stages were trained.

    ConfigError for a folder without one.
    """
    found = [path.parent for path in run.glob("**/final/meta.json")]
    if not found:
        raise ConfigError(
            "checkpoint", f"{run} has no finished stage", expected="the run_dir of a training"
        )
    ordered = sorted(found, key=lambda path: len(checkpoint.read_meta(path)["lineage"]))
    return {path.parent.name: path for path in ordered}
