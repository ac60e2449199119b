"""What answers took: tokens, time and money, a row each and in all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from affect_mllm.types import ConfigError, finite

_KEYS = {"in", "out", "currency"}


@dataclass(frozen=True)
class Price:
    """What a million tokens cost, read and written."""

    read: float
    written: float
    currency: str = "USD"

    def of(self, row: Mapping[str, Any]) -> float | None:
        """The cost of one answer; None where its tokens are not known."""
        read, written = row.get("tokens_in"), row.get("tokens_out")
        if read is None or written is None:
            return None
        return (read * self.read + written * self.written) / 1e6


def read_prices(path: Path) -> dict[str, Price]:
    """Model → price, of a YAML: `NAME: {in: 0.15, out: 0.6, currency: USD}`. ConfigError."""
    if not path.is_file():
        raise ConfigError("prices", f"{path} is no file", expected="a YAML of models' prices")
    found: Any = OmegaConf.to_container(OmegaConf.load(path))
    wrong = (
        [name for name, value in found.items() if not _is_price(value)] if found else ["nothing"]
    )
    if wrong:
        raise ConfigError(
            f"prices, {path}",
            ", ".join(map(str, wrong)),
            expected="NAME: {in: 0.15, out: 0.6, currency: USD}, of a million tokens",
        )
    return {
        name: Price(float(value["in"]), float(value["out"]), value.get("currency", "USD"))
        for name, value in found.items()
    }


def timed(
    rows: Iterator[dict[str, Any]], path: Path, *, processes: int
) -> Iterator[dict[str, Any]]:
    """The rows; how many came in how long is a line of `path`, for each process and each start.

    Those that are only read again (`kept`, which is taken out of the row) are none of them. What
    a row's batch took (`took`, which is taken out, too) is a line of `rows_of(path)`.
    """
    began, count = time.monotonic(), 0
    try:
        for row in rows:
            kept, batch = row.pop("kept", False), row.pop("took", None)
            if batch is not None:
                _add(rows_of(path), {"id": row["id"], **batch})
            count += "error" not in row and not kept
            yield row
    finally:
        if count:
            seconds = round(time.monotonic() - began, 3)
            _add(path, {"answers": count, "seconds": seconds, "processes": processes})


def took(seconds: float, rows: int) -> dict[str, Any]:
    """What a batch of so many rows took, as each of them says it: no row's own share is known."""
    return {"took": {"batch_seconds": round(seconds, 3), "batch_rows": rows}}


def times_of(predictions: Path) -> Path:
    """RUN/times/BENCHMARK/VARIANT.jsonl, of a file below RUN/eval: no two runs share times."""
    folder = predictions.parent
    name = predictions.name.replace(".predictions.", ".")
    return folder.parents[1] / "times" / folder.name / name


def rows_of(times: Path) -> Path:
    """VARIANT.rows.jsonl beside VARIANT.jsonl: a line for each row that was answered in a batch,
    and one more each time that it was answered again.
    """
    return times.with_suffix(".rows.jsonl")


def usage_of(predictions: Path, times: Path, price: Price | None) -> dict[str, Any]:
    """Answers, errors, answers that were cut off, tokens, seconds, rates, cost.

    What is not known of every answer is None; rates are of the starts that ended in time to say
    how long they took.
    """
    given = [json.loads(line) for line in predictions.read_bytes().splitlines()]
    said = [row for row in given if "error" not in row and "unseen" not in row]
    told = [json.loads(line) for line in times.read_text().splitlines()] if times.is_file() else []
    seconds = sum(line["seconds"] / line["processes"] for line in told)
    rate = sum(line["answers"] for line in told) / seconds if seconds else None
    tokens = {key: _sum(row.get(key) for row in said) for key in ("tokens_in", "tokens_out")}
    per_answer = tokens["tokens_out"] / len(said) if said and tokens["tokens_out"] else None
    return {
        "answers": len(said),
        "errors": sum("error" in row for row in given),
        "cut_off": sum(row.get("finish_reason") == "length" for row in said),
        **tokens,
        "seconds": seconds or None,
        "answers_per_s": rate,
        "tokens_out_per_s": rate * per_answer if rate and per_answer else None,
        "cost": _sum(price.of(row) for row in said) if price else None,
        "currency": price.currency if price else None,
    }


def usage_line(name: str, usage: Mapping[str, Any]) -> str:
    """One line for people."""
    parts = [f"{usage['answers']} answers"]
    if usage["errors"]:
        parts.append(f"{usage['errors']} errors (the same command asks for them again)")
    if usage["cut_off"]:
        parts.append(f"{usage['cut_off']} cut off by the limit of tokens")
    if usage["tokens_out"] is not None:
        parts.append(f"{usage['tokens_in']:,} tokens in, {usage['tokens_out']:,} out")
    if usage["answers_per_s"]:
        parts.append(f"{usage['answers_per_s']:.3g} answers/s")
    if usage["cost"] is not None:
        parts.append(f"{usage['cost']:.4f} {usage['currency']}")
    return f"{name:<16} {', '.join(parts)}"


def _add(path: Path, line: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _sum(values: Iterable[Any]) -> Any:
    every = [*values]
    return None if None in every or not every else sum(every)


def _is_price(value: object) -> bool:
    if not isinstance(value, dict) or not {"in", "out"} <= value.keys() <= _KEYS:
        return False
    return all(finite(value[key]) and value[key] >= 0 for key in ("in", "out"))
