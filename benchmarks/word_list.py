"""What the emotion word list covers of a field's labels, and how far its two placements agree.

    python benchmarks/word_list.py [FILE …] [--differences] [--lexicon nrc_en.json]

FILE: MELD's CSV (columns Emotion, Sentiment), lists of open labels as CSV (column openset) or JSON
lines with `labels.emotions`, and instruction files of GoEmotions (JSON lines, `output`). Of each
it prints how many labels (tokens) the list has, how many of them have a family, and what is missing
most. The lexicon, `{word: [emotions]}` with Plutchik's eight and positive and negative (NRC's, as
the package nrclex has it), was made by other people: agreement with it is agreement with them.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.eval.emotion_wheel import own, placements

PETALS = {"joy", "trust", "fear", "surprise", "sadness", "disgust", "anger", "anticipation"}
SIGNS = {"positive": "+", "negative": "-"}


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Files with true labels.")] = None,
    differences: Annotated[bool, typer.Option(help="The words placed in two families.")] = False,
    lexicon: Annotated[Path | None, typer.Option(help="A lexicon of other authors.")] = None,
) -> None:
    """Print one row a file, then the agreements."""
    print(f"word list {own.VERSION}: {len(own.senses())} lines, {len(own.forms())} forms")
    if files:
        print(f"{'labels':>8} {'in the list':>12} {'with a family':>14}  file: missing most")
    for path in files or []:
        found = own.coverage(labels_of(path), shown=5)
        total = max(found.labels, 1)
        lacking = ", ".join(f"{label} {n}" for label, n in found.lacking)
        print(f"{found.labels:8} {found.found / total:12.1%} {found.placed / total:14.1%}  "
              f"{path.name}: {lacking or 'nothing'}")  # fmt: skip
    words = len(placements.first_placement().keys() & placements.second_placement().keys())
    print(f"kappa of the two placements, {words} words:")
    for name, kappa in placements.agreement().items():
        print(f"  {name:18} {kappa:.3f}")
    if differences:
        for word, places in placements.differences().items():
            print(f"  {word}: {', '.join(places[0])} | {', '.join(places[1])}")
    if lexicon is not None:
        _with_lexicon(json.loads(lexicon.read_text(encoding="utf-8")))


def labels_of(path: Path) -> Iterator[str]:
    """Every true label of a file in one of the forms above; ValueError for another form."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if "openset" in row:
                yield from ast.literal_eval(row["openset"])
            else:
                yield from (row["Emotion"], row["Sentiment"])
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        yield from _of_row(json.loads(line), path)


def _of_row(row: dict[str, Any], path: Path) -> list[str]:
    if "output" in row:
        return [part.strip() for part in str(row["output"]).split(",")]
    emotions = row.get("labels", {}).get("emotions")
    if emotions is None:
        raise ValueError(f"{path}: a row without output or labels.emotions: {row}")
    return list(emotions)


def _with_lexicon(lexicon: dict[str, list[str]]) -> None:
    """Petals and signs beside the lexicon's, for forms that have one and that it knows."""
    from sklearn.metrics import cohen_kappa_score

    tables = own.own_tables()
    place = tables.maps.index("plutchik_level1")
    petals: list[tuple[str, set[str]]] = []
    signs: list[tuple[str, str]] = []
    for form, (_, sense) in own.forms().items():
        said = set(lexicon.get(form, ()))
        petal, marked = tables.classes(form)[place], said & SIGNS.keys()
        if petal in PETALS and said & PETALS:
            petals.append((petal, said & PETALS))
        if len(marked) == 1 and sense.polarity != "0":
            signs.append((sense.polarity, SIGNS[marked.pop()]))
    among = sum(petal in said for petal, said in petals) / max(len(petals), 1)
    ours = [petal for petal, _ in petals]
    chance = sum(each in said for _, said in petals for each in ours) / max(len(petals), 1) ** 2
    kappa = cohen_kappa_score(*zip(*signs, strict=True))
    print(
        f"lexicon: of {len(petals)} forms with a petal in both, {among:.1%} have ours among its, "
        f"{chance:.1%} by chance; kappa of the polarity of {len(signs)} forms {kappa:.3f}"
    )


if __name__ == "__main__":
    typer.run(main)
