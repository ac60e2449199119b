"""EEmo-Bench → manifest: `python data_recipes/eemo_bench.py FOLDER --form pair|single|images`.

FOLDER has the question file, a JSON list whose name holds `pair` or `single`
(`EEmo-Bench(pair).json`; a leaderboard's file of answers has the same questions), and the
pictures, beside it or in `images/`. `pair`: a question about two pictures (`image1_url`,
`image2_url`), a row with two clips, 1 and 2. `single`: about one (`image_url`). `images`: a row
for each picture of the pair file, with viewers' `votes` for the first three emotions, and
valence, arousal and dominance, published from 1 to 9, from 0 to 1. `options` is a dictionary as
text; open questions have none, and their `correct_answer` is the `description`. Format:
workerred/EEmo-Bench@e10bfa9 (leaderboards, example code); that `single` has `correct_answer` as
`pair` has it was not seen.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

Form = Literal["pair", "single", "images"]
TOPICS = ("question_type", "perceptual_dimension", "question_concern", "describing_dimension")
VAD = ("valence", "arousal", "dominance")
_LABEL = re.compile(
    r"\[Image[12]\] Ranking:(?P<votes>\{.*?\})\s+category:(?P<category>.*?)\s+"
    r"Valence:(?P<valence>[\d.]+)\s+Arousal:(?P<arousal>[\d.]+)\s+Dominance:(?P<dominance>[\d.]+)\s*"
)
COUNTS = {"pair": {"total": 2312}, "images": {"total": 1268}, "single": {}}  # of files counted
DATASETS = {
    form: Dataset(
        name="eemo_bench",
        title=f"EEmo-Bench, {form} (emotions that pictures evoke)",
        licence="none stated",
        access="open, https://huggingface.co/datasets/Workerred/EEmo-Bench_"
        + ("single" if form == "single" else "pair"),
        source="Gao et al. 2025, ACM MM, arXiv 2504.16405; workerred/EEmo-Bench@e10bfa9",
        counts=counts,
    )
    for form, counts in COUNTS.items()
}


def plan(
    folder: Folder,
    form: Annotated[Form, typer.Option(help="Questions on pairs or pictures; or the pictures.")],
) -> Plan:
    """Make a manifest of EEmo-Bench's questions, or of its pictures with their ratings."""
    return Plan(DATASETS[form], partial(rows, form=form), form)


def rows(inputs: Inputs, *, form: Form) -> Iterator[Entry]:
    """A row for each question, or for each picture of the pairs."""
    path = _file(inputs.folder, "single" if form == "single" else "pair")
    root = inputs.media_root
    folder = root / "images" if (root / "images").is_dir() else root
    seen: set[str] = set()
    for at, item in enumerate(read_json(path, list), start=1):
        where = f"{path}[{at - 1}]"
        if not isinstance(item, dict):
            raise DataError(where, f"a {type(item).__name__}", expected="an object")
        numbers = ("",) if form == "single" else ("1", "2")
        names = [need(where, item, f"image{number}_url", str) for number in numbers]
        if form != "images":
            shown = [{"image": folder / name} for name in names]
            media = {"clips": shown} if len(shown) > 1 else shown[0]
            id = f"{form}/{need(where, item, 'id', int)}"
            yield Entry({"id": id, **media, "labels": _question(where, item)}, path, at)
            continue
        for number, name in zip(numbers, names, strict=True):
            if name not in seen:
                seen.add(name)
                labels = _ratings(where, need(where, item, f"image{number}_label", str))
                yield Entry({"id": name, "image": folder / name, "labels": labels}, path, at)


def _file(folder: Path, form: str) -> Path:
    """The one question file of a form."""
    found = sorted(path for path in folder.glob("*.json") if form in path.stem)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(str(folder), f"question files: {names}", expected=f"one *{form}*.json")
    return found[0]


def _question(where: str, item: dict[str, Any]) -> dict[str, Any]:
    labels = {key: item[key] for key in TOPICS if item.get(key)}
    labels["question"] = need(where, item, "question", str)
    answer = need(where, item, "correct_answer", str)
    if not item.get("options"):
        return {**labels, "description": answer}
    options = _dictionary(where, need(where, item, "options", str))
    if answer not in options:
        raise DataError(where, f"correct_answer {answer!r}", expected=f"one of {sorted(options)}")
    return {**labels, "options": options, "answer": answer}


def _ratings(where: str, label: str) -> dict[str, Any]:
    found = _LABEL.fullmatch(label)
    if found is None:
        raise DataError(where, f"label {label!r}", expected="Ranking, category, Valence, …")
    numbers = {key: (float(found[key]) - 1) / 8 for key in VAD}
    votes = {word.lower(): votes for word, votes in _dictionary(where, found["votes"]).items()}
    return {"emotions": list(votes), "votes": votes, "category": found["category"], **numbers}


def _dictionary(where: str, text: str) -> dict[str, Any]:
    """A dictionary that was written as Python writes it; nothing in it is executed."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise DataError(where, f"{text!r}: {error}", expected="a dictionary as text") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise DataError(where, f"{text!r}", expected="a dictionary as text")
    return value


APP = command(plan)

if __name__ == "__main__":
    APP()
