"""One self-contained HTML page for one or several runs; it loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.report import charts, data
from affect_mllm.eval.report.clips import Clips, load_clips
from affect_mllm.eval.report.data import Run, is_percent
from affect_mllm.eval.report.reads import against_first, family_wheel
from affect_mllm.eval.score.forgetting import against_untrained, balance
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError


def write_report(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write the page about `run_dirs` (each with a results.json) to `out` and return `out`.

    Missing training curves, clips or breakdowns are named as absent; clips that cannot be decoded
    show the reason and are counted in a warning. ConfigError without a run, DataError for a run
    directory without a readable results.json.
    """
    if not run_dirs:
        raise ConfigError("report", "no run directory", expected="one or more")
    runs = [data.load_run(Path(run_dir)) for run_dir in run_dirs]
    clips = {
        (id(run), name): load_clips(run, summary)
        for run in runs
        for name, summary in _first(run).items()
    }
    unreadable = sum(found.unreadable for found in clips.values())
    if unreadable:
        LOGGER.warning("report: %d clips could not be decoded; the page says why", unreadable)
    write_text_atomic(Path(out), render(runs, clips))
    return Path(out)


def render(runs: Sequence[Run], clips: dict[tuple[int, str], Clips]) -> str:
    """The page's HTML. All texts are escaped by the template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("affect_mllm.eval.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "pct": _percent,
        "p": _p_value,
        "short": _short,
        "clock": _clock,
        "pretty": _pretty,
        "shown": _shown,
        "interval": _interval,
    }
    against = against_first(runs) if len(runs) > 1 else []
    before = against_untrained([(run.name, run.benchmarks) for run in runs])
    page = environment.get_template("report.html.j2")
    return page.render(
        runs=[_view(run, clips) for run in runs],
        spread=data.spread(runs) if len(runs) > 1 else [],
        against=against,
        balance=balance(before or against),
        before="its model before training" if before else runs[0].name,
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
        "bad_lines": stage.bad_lines,
        "loss": charts.lines(
            {"loss": stage.loss}, title=f"{stage.name}: loss per supervised token", unit="step"
        ),
        "gate": charts.lines(
            stage.gate, title=f"{stage.name}: weight of the emotion expert", unit="step", y_max=1.0
        )
        if stage.gate
        else None,
    }


def _shown(value: float | None, metric: str) -> str:
    """A metric's value: percent of its range, or a plain number where it has the task's unit."""
    if value is None:
        return "–"
    return _percent(value) if is_percent(metric) else f"{value:.3f}"


def _interval(found: Mapping[str, Any], metric: str) -> str:
    """The ends of a metric's interval, in percent without the sign or in the task's unit."""
    low, high = found["ci_low"], found["ci_high"]
    if low is None or high is None:
        why = found.get("interval") or found.get("method") or ""
        return "no interval" + (": one group" if "one group" in why else "")
    return f"{100 * low:.1f}–{100 * high:.1f}" if is_percent(metric) else f"{low:.3f}–{high:.3f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _short(value: Any) -> str:
    """A number with few digits, anything else as it is."""
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _pretty(value: Any) -> str:
    """A nested value as indented JSON, a plain one as it is."""
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value)
