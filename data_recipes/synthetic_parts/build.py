"""Builds the corpus on disk, in several processes, so that a kill at any time does no harm."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from . import clip, oracle
from .design import CONFLICT_PARTS, SPLITS, ClipSpec, plan

VERSION = 1  # raise it when the same seed would give another corpus
_MAKER: list[clip.Maker] = []


def describe(clips: Sequence[ClipSpec], *, seed: int) -> dict[str, Any]:
    """What `corpus.json` says: counts, ceilings, licences, versions."""
    counts = {s: sum(c.split == s for c in clips) for s in SPLITS}
    by_split = {s: [c for c in clips if c.split == s] for s in SPLITS}
    parts = {p: [c for c in by_split["conflict"] if c.conflict == p] for p in CONFLICT_PARTS}
    return {
        "name": "affect_mllm synthetic corpus",
        "synthetic": True,
        "note": "Drawn faces, synthetic voices and composed subtitles; no person is shown.",
        "version": VERSION,
        "seed": seed,
        "counts": counts,
        "classes": {
            s: dict(sorted(Counter(c.emotion for c in by_split[s]).items())) for s in SPLITS
        },
        "ceilings": {
            s: oracle.ceilings([c.emotion for c in by_split[s]])
            for s in ("train", "val", "test")
            if by_split[s]
        },
        "conflict_ceilings": {
            p: oracle.conflict_ceiling(parts[p]) for p in CONFLICT_PARTS if parts[p]
        },
        "licences": {
            "corpus": clip.LICENCE,
            "espeak-ng": "GPL-3.0-or-later; a separate tool run as its own process, not linked",
        },
        "made_with": {name: version(name) for name in ("av", "espeakng-loader", "numpy", "pillow")},
    }


def is_done(out: Path, sizes: dict[str, int], seed: int) -> bool:
    """Whether `out` holds the finished corpus of these sizes, this seed and this version."""
    try:
        stated = json.loads((out / "corpus.json").read_text())
    except (FileNotFoundError, ValueError):
        return False
    same = (stated.get("version"), stated.get("seed"), stated.get("counts")) == (
        VERSION,
        seed,
        sizes,
    )
    return same and (out / "manifest.jsonl").is_file()


def prepare(out: Path, sizes: dict[str, int], seed: int) -> list[ClipSpec]:
    """Plans the corpus, and removes from `out` what belongs to another plan."""
    (out / "clips").mkdir(parents=True, exist_ok=True)
    stamp = out / "plan.json"
    wanted = json.dumps({"version": VERSION, "seed": seed, "sizes": sizes}, sort_keys=True)
    if not stamp.is_file() or stamp.read_text() != wanted:
        for name in ("manifest.jsonl", "corpus.json"):
            (out / name).unlink(missing_ok=True)
        for old in (out / "clips").glob("syn-*.mp4*"):
            old.unlink()
        write_text(stamp, wanted)
    return plan(sizes, seed)


def missing(out: Path, clips: Sequence[ClipSpec]) -> list[ClipSpec]:
    """The clips that have no file yet; a file that has its final name is whole."""
    return [c for c in clips if not (out / "clips" / f"{c.id}.mp4").is_file()]


def make_clips(out: Path, clips: Sequence[ClipSpec], *, jobs: int) -> Iterator[int]:
    """Makes clips, twins together; yields how many were made, group by group."""
    tasks = [(out, list(twins)) for _, twins in groupby(clips, key=lambda c: c.group)]
    if jobs == 1:
        with clip.Maker() as maker:
            for _, twins in tasks:
                yield _make(maker, out, twins)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=_start) as pool:
        yield from pool.imap_unordered(_task, tasks, chunksize=4)


def _start() -> None:
    _MAKER.append(clip.Maker())


def _task(task: tuple[Path, list[ClipSpec]]) -> int:
    return _make(_MAKER[0], *task)


def _make(maker: clip.Maker, out: Path, twins: list[ClipSpec]) -> int:
    for spec in twins:
        maker.make(spec, out / "clips" / f"{spec.id}.mp4")
    return len(twins)


def finish(out: Path, clips: Sequence[ClipSpec], *, seed: int) -> dict[str, Any]:
    """Writes `corpus.json`, and the manifest last; returns what `corpus.json` says."""
    stated = describe(clips, seed=seed)
    write_text(out / "corpus.json", json.dumps(stated, indent=1) + "\n")
    lines = (json.dumps(clip.row(spec), ensure_ascii=False) for spec in clips)
    write_text(out / "manifest.jsonl", "\n".join(lines) + "\n")
    return stated


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
