"""AvaMERG → manifest: `python data_recipes/avamerg.py FOLDER`.

FOLDER has `train.json` and `test.json`, lists of {conversation_id, topic, speaker_profile,
listener_profile, turns}, of which the last turn holds the whole dialogue: `dialogue_history`
[{role, utterance}], `response` and `chain_of_empathy`. The clips of both splits lie somewhere
below `--media-root`, as they are published (`dia00001utt0_28.mp4`, utterances from 0) or as the
baseline's preprocessing renames them (`dia1utt1.mp4`, from 1). A row is a dialogue up to a
listener's response: a clip for each utterance of the speaker, asked for where it is said;
`labels.dialogue` has the words alone, with the clips' names, for a benchmark's question.
Format: AvaMERG/AvaMERG-Pipeline@8e69462 (merg_code/dataset), and readers of the published names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.folder import is_litter
from affect_mllm.types import DataError

KINDS = {".mp4": "video", ".wav": "audio"}
PROFILE = ("age", "gender", "timbre")
_PUBLISHED = re.compile(r"dia(\d{5})utt(\d+)_\w+")
_RENAMED = re.compile(r"dia([1-9]\d*)utt([1-9]\d*)")
DATASET = Dataset(
    name="avamerg",
    title="AvaMERG (dialogues of made-up speakers; text, voices, talking faces; responses)",
    licence="MIT (code); data as its publisher says",
    access="https://huggingface.co/datasets/ZhangHanXD/AvaMERG",
    source="Zhang et al. 2025, WWW (Empatheia); AvaMERG/AvaMERG-Pipeline@8e69462",
    counts={"total": 33048},
)
Media = dict[tuple[int, int], dict[str, Path]]  # dialogue, utterance from 0 → its files


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each dialogue."""
    media = {} if inputs.labels_only else index(inputs.media_root)
    paths = {split: inputs.folder / f"{split}.json" for split in ("train", "test")}
    for split in inputs.splits(paths):
        for at, item in enumerate(read_json(paths[split], list), start=1):
            where = f"{paths[split]}[{at - 1}]"
            if not isinstance(item, dict):
                raise DataError(where, f"a {type(item).__name__}", expected="an object")
            row = _row(where, item, media, inputs.media_root)
            yield Entry({**row, "split": split}, paths[split], at)


def index(root: Path) -> Media:
    """The clips below `root` by dialogue and utterance, in either way of naming them."""
    found: Media = {}
    for path in sorted(path for ending in KINDS for path in root.rglob(f"*{ending}")):
        if is_litter(path.name):
            continue
        published, renamed = _PUBLISHED.fullmatch(path.stem), _RENAMED.fullmatch(path.stem)
        name = published or renamed
        if name is None:
            raise DataError(str(path), "a name of another form", expected="dia00001utt0_28.mp4")
        key = int(name[1]), int(name[2]) - (renamed is not None)
        if found.setdefault(key, {}).setdefault(KINDS[path.suffix], path) != path:
            raise DataError(str(path), f"a second {KINDS[path.suffix]} of one utterance")
    return found


def _row(where: str, item: dict[str, Any], media: Media, root: Path) -> dict[str, Any]:
    id = need(where, item, "conversation_id", str)
    turns = need(where, item, "turns", list)
    if not id.isdigit() or not turns or not isinstance(turns[-1], dict):
        raise DataError(where, f"{id}, {len(turns)} turns", expected="a number, and a last turn")
    turn = turns[-1]
    labels = {"topic": need(where, item, "topic", str), **_empathy(where, turn)}
    for side in ("speaker_profile", "listener_profile"):
        profile = need(where, item, side, dict)
        labels[side] = {key: need(f"{where}.{side}", profile, key, str) for key in PROFILE}
    who = str(item["speaker_profile"].get("ID", ""))
    messages, clips = _said(where, turn, int(id), media, (root, who))
    response = need(where, turn, "response", str)
    labels["dialogue"] = _words(turn["dialogue_history"])
    messages.append({"role": "assistant", "content": response})
    row = {"id": id, "group": id, "language": "en", "clips": clips, "messages": messages}
    return {**row, "labels": {**labels, "description": response}}


def _words(history: list[dict[str, Any]]) -> str:
    said = [" ".join(each["utterance"].split()) for each in history]
    names = [f"Speaker (utt{at})" if at % 2 == 0 else "Listener" for at in range(len(said))]
    return "\n".join(f"{name}: {text}" for name, text in zip(names, said, strict=True))


def _empathy(where: str, turn: dict[str, Any]) -> dict[str, Any]:
    chain = need(where, turn, "chain_of_empathy", dict)
    emotion = chain.get("speaker_emotion", "")
    word = emotion[0] if isinstance(emotion, list) and emotion else emotion
    keys = ("event_scenario", "emotion_cause", "goal_to_response")
    named = {"emotion": str(word).lower()} if word else {}
    return {**named, **{key: chain[key] for key in keys if chain.get(key)}}


def _said(
    where: str, turn: dict[str, Any], dialogue: int, media: Media, missing_in: tuple[Path, str]
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The turns before the response, with the speaker's clips."""
    root, who = missing_in  # where a clip would be, and whose
    messages: list[dict[str, str]] = []
    clips: list[dict[str, Any]] = []
    history = need(where, turn, "dialogue_history", list)
    for number, each in enumerate(history):
        place = f"{where}, utterance {number}"
        text = need(place, each if isinstance(each, dict) else {}, "utterance", str)
        if number % 2:
            messages.append({"role": "assistant", "content": text})
            continue
        name = f"utt{number}"
        missing = {"video": root / f"dia{dialogue:05}{name}_{who}.mp4"}
        files = missing | media.get((dialogue, number), {})
        clips.append({"name": name, **files})
        asked = "".join(f"<{kind}:{name}>" for kind in sorted(files, reverse=True))
        messages.append({"role": "user", "content": f"{asked}\n{text}"})
    if len(history) % 2 == 0:
        raise DataError(where, f"{len(history)} utterances", expected="the speaker's as the last")
    return messages, clips


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
