"""EmoLLMs' text tasks → manifest: `python data_recipes/aeb.py FOLDER [--part semeval | --fold 1]`.

FOLDER has JSON lines of `instruction`, `input` (always empty) and `output`, as EmoLLMs keeps
them in `data/data-split`. An instruction is the whole question, text and cue included: it
becomes the row's `messages` and `labels.question`. `--part aeb` (SST, SST-5, TDT, EmoBank,
GoEmotions, VADER) reads a file a set; `--part semeval` the five tasks of SemEval-2018 out of
`test.json`, told apart by the form of their answers and by `Emotion E:`. Numbers become
`labels.rating`, classes `labels.category`, sets `labels.emotions`. Format:
lzw108/EmoLLMs@d643d5d.

`--fold` makes rows to train on of these test files (VADER left out), since their publishers' own
training parts are not among them: of ten parts by the hash of a text's letters, two are `test`, one
`val`; a text is in one part whatever its set (SST and SST-5 are the same sentences). The text is
the subtitle, and what is asked of it a label named after the set (`TASKS`). These folds are ours.
Of GoEmotions rows with several emotions are left out there. AAID's training and validation files
have the form of `conversations.py`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.jsons import need, read_jsonl
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import ConfigError, DataError, finite

Part = Literal["aeb", "semeval"]
# set → its file, and the label that its outputs become
SETS = {
    "sst": ("SST_test.json", "rating"),
    "sst5": ("sst5_test.json", "category"),
    "tdt": ("TDT.json", "category"),
    "emobank": ("emobank_test.json", "rating"),
    "goemotions": ("goemotion_test.json", "emotions"),
    "vader": ("vader_test.json", "rating"),
}
SEMEVAL = "test.json"
SST5 = ("very negative", "negative", "neutral", "positive", "very positive")
TDT = {"-1": "negative", "0": "neutral", "1": "positive"}
EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
# set → the label of a fold's rows, and the scale of a number; EmoBank has one for each dimension
TASKS: dict[str, tuple[str, tuple[float, float] | None]] = {
    "sst": ("review_sentiment", (0.0, 1.0)),
    "sst5": ("review_class", None),
    "tdt": ("tweet_sentiment", None),
    "emobank": ("writer_{dimension}", (1.0, 5.0)),
    "goemotions": ("comment_emotion", None),
}
FOLDS, PARTS = 5, 10
_TEXT = re.compile(r"\bText: (.*?)\s*(?:Sentiment|Intensity|This tweet)[\w\s]*:\s*$", re.DOTALL)
_BRACKET = re.compile(r"-[lr][rsc]b-")
_DIMENSION = re.compile(r"Determine the (valence|arousal|dominance) intensity")
_EMOTION = re.compile(r"Emotion E: (anger|fear|joy|sadness)\. Intensity (?:Score|Class):\s*$")
_LICENCE = "MIT (EmoLLMs); the sets keep their own terms"
DATASETS = {
    "aeb": Dataset(
        name="aeb",
        title="AEB without SemEval-2018 (sentences, tweets; numbers, classes, sets of labels)",
        licence=_LICENCE,
        access="open, https://github.com/lzw108/EmoLLMs (large files by git-lfs)",
        source="Liu et al. 2024, KDD (EmoLLMs), arXiv 2401.08508; lzw108/EmoLLMs@d643d5d",
        counts={"test": 17539},
    ),
    "semeval": Dataset(
        name="aeb_semeval",
        title="AEB's SemEval-2018 task 1 (tweets; intensities, ordinal classes, eleven emotions)",
        licence=_LICENCE,
        access="open, https://github.com/lzw108/EmoLLMs (large files by git-lfs)",
        source="Liu et al. 2024, KDD (EmoLLMs); parts as lzw108/MMAFFBen@d7d3326 has them",
        counts={"test": 13269},
    ),
}
CLASSES = {
    "aeb": {
        "sst": 2210,
        "sst5": 2210,
        "tdt": 692,
        "emobank": 3000,
        "goemotions": 5427,
        "vader": 4000,
    },
    "semeval": {"ei_reg": 4068, "ei_oc": 4068, "v_reg": 937, "v_oc": 937, "e_c": 3259},
}


def plan(
    folder: Folder,
    part: Annotated[Part, typer.Option(help="The sets of a file each, or SemEval-2018's.")] = "aeb",
    fold: Annotated[
        int | None, typer.Option(min=1, max=FOLDS, help="Rows to train on, of aeb: which of five.")
    ] = None,
) -> Plan:
    """Make a manifest of EmoLLMs' affective text tasks, which ask as their authors ask."""
    if fold is not None:
        if part != "aeb":
            raise ConfigError("--fold", f"of {part}", expected="--part aeb")
        return Plan(_folded(), partial(of_fold, fold=fold), f"fold{fold}")
    dataset = DATASETS[part]
    counted = Dataset(**{**vars(dataset), "classes": {"set": CLASSES[part]}})
    return Plan(counted, partial(rows, part=part), "" if part == "aeb" else part)


def rows(inputs: Inputs, *, part: Part) -> Iterator[Entry]:
    """A row for each instruction."""
    if part == "semeval":
        path = inputs.folder / SEMEVAL
        for at, where, question, output in _read(path):
            name, labels = _semeval(where, question, str(output).strip())
            yield _entry(path, at, f"{name}/{at}", question, str(output), {"set": name, **labels})
        return
    files = {name: inputs.folder / file for name, (file, _) in SETS.items()}
    for name in inputs.splits(files):
        for at, where, question, output in _read(files[name]):
            labels = {"set": name, **_labels(where, SETS[name][1], name, output)}
            if name == "emobank":
                labels["dimension"] = _dimension(where, question)
            yield _entry(files[name], at, f"{name}/{at}", question, str(output), labels)


def _folded() -> Dataset:
    """The terms of a fold, and its labels' scales; how many rows it has depends on the texts."""
    labels: dict[str, tuple[float, float] | None] = {}
    for name, scale in TASKS.values():
        for dimension in ("valence", "arousal", "dominance") if "{" in name else ("",):
            labels[name.format(dimension=dimension)] = scale
    return Dataset(**{**vars(DATASETS["aeb"]), "counts": {}, "own": labels})


def of_fold(inputs: Inputs, *, fold: int) -> Iterator[Entry]:
    """A row for each text and question of the sets in `TASKS`."""
    files = {name: inputs.folder / SETS[name][0] for name in TASKS}
    several = 0
    for name in inputs.splits(files):
        for at, where, question, output in _read(files[name]):
            text = _TEXT.search(question)
            if text is None:
                raise DataError(where, "no text", expected="an instruction with `Text: …`")
            value = _labels(where, SETS[name][1], name, output)[SETS[name][1]]
            if isinstance(value, list):
                several += len(value) > 1
                if len(value) > 1:
                    continue
                value = value[0]
            key = TASKS[name][0]
            if "{" in key:
                key = key.format(dimension=_dimension(where, question))
            letters = letters_of(text[1])
            row = {"id": f"{name}/{at}", "subtitle": text[1].strip(), "language": "en"}
            row |= {"group": letters[:200], "split": split_of(letters, fold)}
            yield Entry({**row, "labels": {key: value}}, files[name], at)
    inputs.notes.append(f"{several} rows of several emotions are left out")


def letters_of(text: str) -> str:
    """The letters and digits of a text, without case and accents; all of it where there is none.

    SST-5 writes the brackets of SST's sentences as `-lrb-` and the like.
    """
    plain = _BRACKET.sub(" ", unicodedata.normalize("NFKD", text.casefold()))
    return "".join(re.findall(r"[^\W_]", plain)) or text


def split_of(letters: str, fold: int) -> str:
    """Where a text belongs: every one is tested in one fold."""
    part = int(hashlib.sha256(letters.encode()).hexdigest(), 16) % PARTS
    if part // 2 == fold - 1:
        return "test"
    return "val" if part == 2 * (fold % FOLDS) else "train"


def _read(path: Path) -> Iterator[tuple[int, str, str, Any]]:
    """Number, place, instruction and output of each line."""
    at = 0
    for at, record in read_jsonl(path):
        where = f"{path}:{at}"
        if need(where, record, "input", str):
            raise DataError(where, f"input {record['input']!r}", expected="an empty one, as in AEB")
        output = need(where, record, "output", (str, int, float))
        yield at, where, need(where, record, "instruction", str), output
    if not at:
        raise DataError(str(path), "no rows")


def _entry(
    path: Path, at: int, id: str, question: str, answer: str, labels: dict[str, Any]
) -> Entry:
    said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    row = {"id": id, "split": "test", "language": "en", "messages": said}
    return Entry({**row, "labels": {"question": question, **labels}}, path, at)


def _labels(where: str, key: str, name: str, output: Any) -> dict[str, Any]:
    if key == "rating":
        if not finite(output):
            raise DataError(where, f"output {output!r}", expected="a number")
        return {key: float(output)}
    if key == "emotions":
        return {key: _listed(where, str(output), EKMAN)}
    if name == "tdt":
        found = TDT.get(str(output))
    else:
        number, _, words = str(output).partition(": ")
        fits = number.isdigit() and int(number) < len(SST5) and SST5[int(number)] == words
        found = words if fits else None
    if found is None:
        raise DataError(where, f"output {output!r}", expected=f"a class of {name}")
    return {key: found}


def _listed(where: str, output: str, allowed: tuple[str, ...] = ()) -> list[str]:
    words = [word.strip() for word in output.split(",")]
    if not all(words) or (allowed and not set(words) <= set(allowed)):
        raise DataError(where, f"output {output!r}", expected=f"some of {', '.join(allowed)}")
    return words


def _dimension(where: str, question: str) -> str:
    found = _DIMENSION.search(question)
    if found is None:
        raise DataError(where, "no dimension", expected="valence, arousal or dominance")
    return found[1]


def _semeval(where: str, question: str, output: str) -> tuple[str, dict[str, Any]]:
    """The task of an instruction, and its labels."""
    emotion = _EMOTION.search(question)
    asked = {"asked_emotion": emotion[1]} if emotion else {}
    kind = "ei" if emotion else "v"
    if re.fullmatch(r"[01](\.\d+)?", output):
        return f"{kind}_reg", {"rating": float(output), **asked}
    if re.fullmatch(r"-?\d: .+", output):
        return f"{kind}_oc", {"rating": float(output.partition(":")[0]), **asked}
    return "e_c", {"emotions": _listed(where, output)}


APP = command(plan)

if __name__ == "__main__":
    APP()
