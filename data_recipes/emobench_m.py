"""EmoBench-M → manifest: `python data_recipes/emobench_m.py FOLDER --set MELD`.

FOLDER has `benchmark_json/SET.json` (a list of {id, video, conversations}, of which a person asks
and `gpt` answers with the label) and `dataset/SET/videos/…`; the release before it calls them
`SET_test_500.json` and the like. Thirteen sets, each with its own labels and benchmark. What is
said in a clip stands in the question, between words that are known, and becomes the subtitle.
MC-EIU's answers were not seen: an emotion and an intent are looked for in them, as the publisher's
script does it, and an answer that has several of either is refused, as is any other answer than a
set's labels. Format: Emo-gml/EmoBench-M@8916147 (README, scripts); counts: the table of the
publisher's page (Emo-gml/Emo-gml.github.io@2837827, static/images/1.png).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

import typer
from commandline import Folder, Plan, command
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

Set = Literal[
    "FGMSA", "MC-EIU", "MELD", "MOSEI", "MOSI", "MUSTARD", "RAVDSS_song", "RAVDSS_speech",
    "SIMS", "ch-simsv2s", "funny", "mer2023", "smile",
]  # fmt: skip
SENTIMENTS = ("neutral", "negative", "positive")
STRENGTHS = ("weak negative", "strong negative", "neutral", "strong positive", "weak positive")
SUNG = ("neutral", "calm", "happy", "sad", "angry", "fearful")
BOTH = {
    "emotion": ("happy", "surprise", "sad", "disgust", "anger", "fear", "neutral"),
    "intent": (
        *("questioning", "agreeing", "acknowledging", "encouraging", "consoling", "suggesting"),
        *("wishing", "neutral"),
    ),
}
VERDICTS = ("true", "false")
# set → the label that its benchmark scores, and what it may be; MC-EIU and SMILE have others
LABELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "FGMSA": ("sentiment_class", STRENGTHS),
    "MELD": ("emotion", ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")),
    "MOSEI": ("sentiment", SENTIMENTS),
    "MOSI": ("sentiment", SENTIMENTS),
    "MUSTARD": ("is_sarcastic", VERDICTS),
    "RAVDSS_song": ("emotion", SUNG),
    "RAVDSS_speech": ("emotion", (*SUNG, "surprised", "disgust")),
    "SIMS": ("sentiment", SENTIMENTS),
    "ch-simsv2s": ("sentiment", SENTIMENTS),
    "funny": ("is_humorous", VERDICTS),
    "mer2023": ("emotion", ("happy", "sad", "neutral", "angry", "worried", "surprise")),
}
# The README says of SIMS 500, but 457 are the test clips of CH-SIMS; all together they are 5,646.
OTHERS = {"FGMSA": 250, "SIMS": 457, "funny": 448, "mer2023": 411, "smile": 80}
ROWS = dict.fromkeys(get_args(Set), 500) | OTHERS
DATASETS = {
    name: Dataset(
        name=f"emobench_m_{name.lower().replace('-', '_')}",
        title=f"EmoBench-M, {name} (video, sound, text; questions of thirteen sets)",
        licence="Apache-2.0 (code); clips: the terms of their sets",
        access="open, links of https://github.com/Emo-gml/EmoBench-M",
        source="Hu et al. 2025, arXiv 2502.04424, and the publisher's page",
        counts={"test": count},
    )
    for name, count in ROWS.items()
}
_SAID = re.compile(
    r"The person in (?:the )?video says: (.*?)\s*"
    r"(?:Determine the emotion conveyed|Analyze the emotion and intent|Does this statement express"
    r"|Please watch the provided video)",
    re.DOTALL,
)
_PUNCHLINE = re.compile(
    r"The context sentences in the video is: (.*?)\s*The punchline sentence in the video is: (.*?)"
    r"\s*Does this statement express",
    re.DOTALL,
)


def plan(
    folder: Folder, part: Annotated[Set, typer.Option("--set", help="Of the thirteen.")]
) -> Plan:
    """Make a manifest of one of EmoBench-M's sets."""
    return Plan(DATASETS[part], partial(rows, name=part), part.lower())


def rows(inputs: Inputs, *, name: Set) -> Iterator[Entry]:
    """A row for each question; `group` is the folder of its clip below the set's own."""
    path = _like(inputs.folder / "benchmark_json", name, ".json")
    base = inputs.media_folder("dataset", "dataset_500")
    videos = base if inputs.labels_only else _like(base, name, "")
    for at, record in enumerate(read_json(path, list)):
        where = f"{path}[{at}]"
        if not isinstance(record, dict):
            raise DataError(where, f"a {type(record).__name__}", expected="an object")
        video = PurePosixPath(need(where, record, "video", str))
        question, answer = _turns(where, need(where, record, "conversations", list))
        row: dict[str, Any] = {
            "id": f"{name}/{need(where, record, 'id', (str, int))}",
            "video": videos / video,
            "split": "test",
            "labels": {**_labels(where, name, answer), "question": question},
        }
        if len(video.parts) > 3:  # videos/SET/SOURCE/…
            row["group"] = "/".join(video.parts[2:-1])
        if said := _said(question):
            row |= {"subtitle": said, "language": "en"}
        yield Entry(row, path, at + 1)


def _like(folder: Path, name: str, ending: str) -> Path:
    """The file or folder of a set: `SET`, or the one that begins with it and goes on by _ or -."""
    exact = folder / f"{name}{ending}"
    found = sorted(folder.glob(f"{name}[_-]*{ending}"))
    if exact.exists() or len(found) != 1:
        return exact
    return found[0]


def _turns(where: str, turns: list[Any]) -> tuple[str, str]:
    """What is asked, without its placeholder, and the answer."""
    said = [turn if isinstance(turn, dict) else {} for turn in turns]
    if [turn.get("from") for turn in said] != ["human", "gpt"]:
        raise DataError(where, f"{len(turns)} turns", expected="one of human, one of gpt")
    asked, answer = (need(where, turn, "value", str).strip() for turn in said)
    return asked.replace("<video>", "").strip(), answer


def _labels(where: str, name: str, answer: str) -> dict[str, Any]:
    if name == "smile":
        return {"description": answer}
    if name == "MC-EIU":
        both = {key: _only(where, key, answer, allowed) for key, allowed in BOTH.items()}
        return {**both, "emotion_intent": "_".join(both.values())}
    key, allowed = LABELS[name]
    values = [*_mapping(answer).values()]
    word = _one(where, values[0] if len(values) == 1 else answer, allowed)
    return {key: word == "true" if allowed == VERDICTS else word}


def _mapping(answer: str) -> dict[str, str]:
    """An answer such as `{'emotion label': 'happy', 'intent label': 'wishing'}`; {} if another."""
    try:
        found = ast.literal_eval(answer)
    except (ValueError, SyntaxError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key).lower(): str(value) for key, value in found.items() if str(key).strip()}


def _one(where: str, word: str, allowed: tuple[str, ...]) -> str:
    found = word.strip().lower()
    if found not in allowed:
        raise DataError(where, f"the answer {word!r}", expected=f"one of {', '.join(allowed)}")
    return found


def _only(where: str, what: str, answer: str, allowed: tuple[str, ...]) -> str:
    """The emotion or intent in an answer: the one that stands in it, else `neutral` if that does.

    Both lists have `neutral`, which the publisher's script asks for last.
    """
    found = [word for word in allowed if word in answer.lower()]
    named = [word for word in found if word != "neutral"] or found
    if len(named) != 1:
        told = f"the answer {answer!r} with {len(named)} {what}s"
        raise DataError(where, told, expected=f"one of {', '.join(allowed)}")
    return named[0]


def _said(question: str) -> str:
    for form in (_SAID, _PUNCHLINE):
        if found := form.match(question):
            return " ".join(found.groups())
    return ""


APP = command(plan)

if __name__ == "__main__":
    APP()
