"""`affect-mllm validate`: every bad row of a manifest, groups in two splits, undecodable media."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from affect_mllm.data import manifest
from affect_mllm.data.manifest import Problem
from affect_mllm.types import AffectError, ExitCode, Sample

DECODED = ("video", "audio", "image")  # frames, faces and features have no one format


@dataclass(frozen=True)
class Validation:
    """What `validate` found: rows that are good by themselves, and problems by line."""

    path: Path
    good_rows: int
    problems: tuple[Problem, ...]

    def by_reason(self) -> list[tuple[str, int]]:
        """Kinds of problems and their counts, the most frequent first."""
        kinds = Counter(_kind(problem.reason) for problem in self.problems)
        return sorted(kinds.items(), key=lambda each: (-each[1], each[0]))


def validate(path: Path, *, decode: bool = False, workers: int | None = None) -> Validation:
    """Check rows, split leakage and, with `decode`, every media file of the good rows.

    DataError when the manifest itself cannot be read.
    """
    samples, found = manifest.scan(path)
    lines = {sample.id: int(line) for sample, line in zip(samples, samples.lines(), strict=True)}
    found.extend(leaks(samples, lines))
    if decode and samples:
        reasons = decode_all(samples, workers=workers or os.cpu_count() or 1)
        found.extend(
            Problem(lines[sample.id], sample.id, reason)
            for sample, bad in zip(samples, reasons, strict=True)
            for reason in bad
        )
    found.sort(key=lambda problem: problem.line)
    return Validation(path, len(samples), tuple(found))


def leaks(samples: Iterable[Sample], lines: dict[str, int]) -> Iterator[Problem]:
    """One problem for each further split that a group appears in, at the first row there."""
    splits: dict[str, list[str]] = {}
    for sample in samples:
        if sample.group is None or sample.split is None:
            continue
        seen = splits.setdefault(sample.group, [sample.split])
        if sample.split not in seen:
            yield Problem(
                lines[sample.id],
                sample.id,
                f"group leaks between splits: {sample.group!r} is in {seen[0]!r} "
                f"and in {sample.split!r}",
            )
            seen.append(sample.split)


def decode_all(samples: Sequence[Sample], *, workers: int) -> list[list[str]]:
    """For each sample why its media cannot be decoded, [] where all can; shows a progress bar."""
    from rich.console import Console
    from rich.progress import track

    # spawn: a decoder's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(samples)), mp_context=context) as pool:
        futures = [pool.submit(decode_one, sample) for sample in samples]
        console = Console(stderr=True)
        for _ in track(as_completed(futures), "decoding", len(futures), console=console):
            pass
    return [_reasons(future) for future in futures]


def decode_one(sample: Sample) -> list[str]:
    """Decode a sample's media as training would; the reasons why that failed, [] if it did not."""
    reasons = []
    for kind in DECODED:
        if kind in sample.media:
            try:
                _decode(sample, kind)
            except AffectError as error:
                reasons.append(f"{kind} cannot be decoded: {error.got} ({sample.media[kind]})")
            except Exception as error:  # whatever a decoder raises is what the user has to know
                reasons.append(f"{kind} cannot be decoded: {error!r} ({sample.media[kind]})")
    return reasons


def _decode(sample: Sample, kind: str) -> None:
    from affect_mllm.media import audio, video

    path, span = sample.path(kind), (sample.start_s, sample.end_s)
    if kind == "image":
        video.read_image(path)
        return
    if kind == "video":
        video.read_frames(path, video.Sampling("uniform"), start_s=span[0], end_s=span[1])
    heard = audio.read_audio(path, start_s=span[0], end_s=span[1])
    if heard is None and kind == "audio":
        raise ValueError("no audio stream")


def _reasons(future: Future[list[str]]) -> list[str]:
    try:
        return future.result()
    except BrokenProcessPool:
        return ["not decoded: a decoder crashed; --workers 1 shows at which file"]


def _kind(reason: str) -> str:
    """A reason without the row's own values: what stands before `:`, `,` or a quotation."""
    for mark in (":", ", got", " (", "'", '"'):
        reason = reason.split(mark)[0]
    return reason.strip()


def validate_command(
    path: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A .jsonl or .parquet file.")],
    decode: Annotated[bool, typer.Option(help="Decode every media file, too.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode; 0: one a core.")] = 0,
) -> None:
    """List every bad row of a manifest with file:line and reason; exit code 1 if there is any."""
    result = validate(path, decode=decode, workers=workers or None)
    for problem in result.problems:
        name = f"[{problem.id}] " if problem.id else ""
        typer.echo(f"{path}:{problem.line}: {name}{problem.reason}")
    if not result.problems:
        typer.echo(f"{path}: {result.good_rows} rows, no problems")
        return
    typer.echo(f"\n{len(result.problems)} problems, {result.good_rows} good rows")
    for kind, count in result.by_reason():
        typer.echo(f"{count:6d}  {kind}")
    raise typer.Exit(int(ExitCode.FAILED))
