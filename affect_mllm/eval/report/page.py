"""One self-contained HTML page for one or several runs; it loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.report import charts, data, rollouts
from affect_mllm.eval.report.clips import Clips, load_clips
from affect_mllm.eval.report.data import Run
from affect_mllm.eval.report.html import environment
from affect_mllm.eval.report.reads import against_first, family_wheel
from affect_mllm.eval.score.against import check_across
from affect_mllm.eval.score.forgetting import Asked, forgetting
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError


def write_report(run_dirs: Sequence[Path], out: Path, *, across: Collection[str] = ()) -> Path:
    """Write the page about `run_dirs` (each with a results.json) to `out` and return `out`.

    Runs are compared where they may be (`score.against`), `across` what differs on purpose.
    Missing training curves, clips or breakdowns are named as absent; clips that cannot be decoded
    show the reason and are counted in a warning. ConfigError without a run, DataError for a run
    directory without a readable results.json.
    """
    if not run_dirs:
        raise ConfigError("report", "no run directory", expected="one or more")
    check_across(across)
    runs = [data.load_run(Path(run_dir)) for run_dir in run_dirs]
    clips = {
        (id(run), name): load_clips(run, summary)
        for run in runs
        for name, summary in _first(run).items()
    }
    unreadable = sum(found.unreadable for found in clips.values())
    if unreadable:
        LOGGER.warning("report: %d clips could not be decoded; the page says why", unreadable)
    write_text_atomic(Path(out), render(runs, clips, across))
    return Path(out)


def render(
    runs: Sequence[Run], clips: dict[tuple[int, str], Clips], across: Collection[str] = ()
) -> str:
    """The page's HTML. All texts are escaped by the template."""
    asked = [Asked.of(run.path, run.name) for run in runs]
    page = environment().get_template("report.html.j2")
    return page.render(
        runs=[_view(run, clips) for run in runs],
        spread=data.spread(runs) if len(runs) > 1 else [],
        against=[*against_first(runs, across)],
        forgetting=forgetting(asked, across),
        synthetic=any(
            summary["task"].get("synthetic") for run in runs for summary in run.benchmarks.values()
        ),
    )


def _first(run: Run) -> dict[str, dict[str, Any]]:
    """The main benchmark alone: the one whose clips are shown."""
    return dict(list(run.benchmarks.items())[:1])


def _view(run: Run, clips: dict[tuple[int, str], Clips]) -> dict[str, Any]:
    """What the template shows of one run."""
    return {
        "name": run.name,
        "info": run.results.get("info") or {},
        "suites": run.results.get("suites") or {},
        "benchmarks": [
            _benchmark(name, summary, clips.get((id(run), name)), family_wheel(run, summary))
            for name, summary in run.benchmarks.items()
        ],
        "stages": [_stage(stage) for stage in run.stages],
    }


def _benchmark(
    name: str, summary: dict[str, Any], clips: Clips | None, families: Markup | None
) -> dict[str, Any]:
    metric = data.drawn_metric(summary)
    rows = data.table(summary)
    parts = [
        {
            "key": key,
            "name": part,
            "chart": charts.bars(
                data.bar_items(summary, metric, (key, part)), title=f"{metric}, {part}"
            ),
            "scores": {row.name: row.scores["breakdowns"][key][part] for row in rows},
        }
        for key, part in data.parts(summary)
    ]
    return {
        "name": name,
        "task": summary["task"],
        "metric": metric,
        "reference": summary["variants"][summary["reference"]],
        "reference_name": summary["reference"],
        "rows": rows,
        "has_ceilings": any(row.scores["ceiling"] is not None for row in rows),
        "chart": charts.bars(data.bar_items(summary, metric), title=f"{metric} of each variant"),
        "parts": parts,
        "clips": clips,
        "families": families,
        "followed": summary.get("followed") or {},
        "again": [
            (kind, variant, scored)
            for kind in ("wordings", "repeats")
            for variant, scored in (summary.get(kind) or {}).items()
        ],
        "official": summary.get("official"),
    }


def _stage(stage: data.Stage) -> dict[str, Any]:
    last = stage.rows[-1] if stage.rows else {}
    return {
        "name": stage.name,
        "steps": last.get("step"),
        "of_steps": last.get("steps"),
        "first": stage.loss[0][1] if stage.loss else None,
        "last": stage.loss[-1][1] if stage.loss else None,
        "seconds": last.get("seconds"),
        "tokens_per_s": last.get("supervised_tokens_per_s"),
        "data_wait": last.get("data_wait"),
        "bad_lines": stage.bad_lines + stage.rollouts.bad_lines,
        "rewards": rollouts.curve(stage.name, stage.rows),
        "rollouts": stage.rollouts.shown(),
        "loss": charts.lines(
            {"loss": stage.loss}, title=f"{stage.name}: loss per supervised token", unit="step"
        ),
        "gate": charts.lines(
            stage.gate, title=f"{stage.name}: weight of the emotion expert", unit="step", y_max=1.0
        )
        if stage.gate
        else None,
    }
