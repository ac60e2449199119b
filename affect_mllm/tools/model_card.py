"""The model card of an exported checkpoint: lineage, data, scores, licences, use, privacy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affect_mllm.models import checkpoint as store
from affect_mllm.types import ConfigError, DataError

USE = """## Intended use

Research on how people show emotion in face, voice and words, and comparing such models. The model
describes what a clip shows; it does not know what a person feels.

## Not intended

Decisions about people (hiring, policing, credit, health, education, border control), watching them
without their consent, and anything at work or in education: Regulation (EU) 2024/1689 (the EU's AI
Act), Art. 5 (1) (f), forbids inferring emotions there but for medical or safety reasons. Elsewhere
emotion recognition is high-risk (Annex III, 1 (c)), and people who are exposed to it have to be
told (Art. 50 (3)). Other places have laws of their own.

## Limits

Labels are others' judgements of clips, often acted ones, in few languages and of few groups of
people; expressions differ between people, cultures and situations. What is scored above holds for
those benchmarks: before any use, measure it on the people and in the language that it is meant for,
and groups apart. Answers may be fluent and wrong, and name cues that are not in the clip.

## Privacy

Faces and voices are personal data, and biometric data where they identify someone. The model runs
locally and sends nothing anywhere. It was not tested for repeating what it was trained on; do not
publish answers about people who did not agree. docs/privacy.md, which comes with the package
affect_mllm, says more.
"""
LOADING = """## Loading

```python
import affect_mllm  # makes transformers know this model; no remote code
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained(FOLDER)
processor = AutoProcessor.from_pretrained(FOLDER)
inputs = processor("Which emotion does the person express?", media={"video": "clip.mp4"})
ids = model.generate(**inputs, max_new_tokens=64)
print(processor.batch_decode(ids, skip_special_tokens=True))
```
"""

OF_A_CHECKPOINT = """## Loading

```python
import affect_mllm

model = affect_mllm.load("REPOSITORY")
print(model.ask(["clip.mp4"], "Which emotion does the person express?"))
```
"""


def card(
    checkpoint: Path,
    results: Path | None = None,
    *,
    merged: bool = True,
    repository: str = "FOLDER",
) -> str:
    """The card as Markdown. `results` is the `results.json` of this checkpoint's evaluation.

    `merged`: it is an export for transformers, else the checkpoint itself, in `repository`.

    Raises DataError for a file of another form, ConfigError for another checkpoint's scores.
    """
    meta = store.read_meta(checkpoint)
    cfg = store.load_config(checkpoint)
    name = store.checkpoint_hash(checkpoint)
    sections = [
        f"---\nlibrary_name: {'transformers' if merged else 'affect-mllm'}\n"
        "tags: [emotion, multimodal, affect-mllm]\n---",
        f"# {cfg.name}, checkpoint {name}",
        "Exported by affect_mllm; LoRA is merged into the language model."
        if merged
        else "What affect_mllm trained; it loads the parts named below beside it.",
        LOADING if merged else OF_A_CHECKPOINT.replace("REPOSITORY", repository),
        "## Made of",
        "\n".join(f"- `{where}`: {_shown(model)}" for where, model in _models(cfg.model)),
        "Each of them has a licence and terms of its own, which this model is under as well.",
        "## Lineage",
        "\n".join(_lineage(meta)),
        "## Data",
        "\n".join(_data(meta)),
        "## Scores",
        "\n".join(_scores(results, name)),
        USE,
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _models(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    from omegaconf import OmegaConf

    from affect_mllm.tools.hf.config import at, places

    plain: Any = OmegaConf.to_container(node, resolve=True)
    for place in places(plain):
        yield place or "model", at(plain, place)["model"]


def _shown(model: str) -> str:
    """A Hub id or asset as it is; of a local folder only its name."""
    return Path(model).name if Path(model).is_absolute() else model


def _lineage(meta: dict[str, Any]) -> Iterator[str]:
    for entry in meta["lineage"]:
        parent = entry["parent"] or "pretrained parts only"
        yield f"- stage `{entry['stage']}`, from {parent}"
    yield f"- seed {meta['seed']}; code {meta['git'] or 'without git'}"
    versions = ", ".join(f"{name} {version}" for name, version in meta["packages"].items())
    yield f"- {versions}"


def _data(meta: dict[str, Any]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for entry in meta["lineage"]:
        seen |= entry["data"]
    for path, digest in sorted(seen.items()):
        yield f"- `{Path(path).name}` of `{Path(path).parent.name}`, sha256 {digest[:16]}…"
        yield from (f"  - {line}" for line in _licences(Path(path)))


def _licences(path: Path) -> list[str]:
    from affect_mllm.data import manifest

    if not path.is_file():
        return ["sources and licences not known: the manifest is not on this machine"]
    counts = Counter(
        (row.source or "no source", row.licence) for row in manifest.read(path, media=False)
    )
    return [
        f"{count} rows of {source}: {licence or 'no licence stated'}"
        for (source, licence), count in sorted(counts.items(), key=str)
    ]


def _scores(results: Path | None, checkpoint: str) -> Iterator[str]:
    if results is None:
        yield "Not evaluated, or its scores were not given to the export."
        return
    try:
        given = json.loads(results.read_text())
        runs = given.get("runs")
        tables = [run["variants"][run["reference"]] for run in runs.values()] if runs else [given]
        rows = [row for table in tables for row in _rows(table, checkpoint, results)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            str(results), f"no scores of our form ({error})", expected="a results.json"
        ) from error
    yield "| benchmark | metric | value | 95 % interval | n | unparsed |"
    yield "|---|---|---|---|---|---|"
    yield from rows


def _rows(table: dict[str, Any], checkpoint: str, results: Path) -> Iterator[str]:
    if table["checkpoint"] != checkpoint:
        raise ConfigError(
            "--results",
            f"{results} has scores of checkpoint {table['checkpoint']}",
            expected=checkpoint,
            fix="give the results of this checkpoint's evaluation",
        )
    name = table["benchmark"] + (" (synthetic)" if table.get("synthetic") else "")
    for metric, m in table["metrics"].items():
        value = "none" if m["value"] is None else f"{m['value']:.3f}"
        known = m["ci_low"] is not None
        interval = f"{m['ci_low']:.3f} – {m['ci_high']:.3f}" if known else "none"
        yield f"| {name} | {metric} | {value} | {interval} | {m['n']} | {m['n_unparsed']} |"
