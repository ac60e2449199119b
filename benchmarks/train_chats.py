"""The chats that the training benchmark feeds to every contender: one list, one tokenisation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import NamedTuple

SYSTEM = "You recognise emotions."
QUESTION = "Describe the person's emotion and the cues."
WORDS = [
    "she",
    "he",
    "they",
    "we",
    "the",
    "a",
    "this",
    "that",
    "said",
    "told",
    "asked",
    "never",
    "always",
    "maybe",
    "really",
    "quietly",
    "suddenly",
    "morning",
    "evening",
    "letter",
    "train",
    "window",
    "answer",
    "mother",
    "brother",
    "teacher",
    "friend",
    "worried",
    "glad",
    "tired",
    "angry",
    "calm",
    "afraid",
    "proud",
    "lonely",
    "voice",
    "face",
    "eyes",
    "hands",
    "smile",
    "pause",
    "breath",
    "tone",
    "whisper",
    "laugh",
    "waited",
    "walked",
    "looked",
    "turned",
    "stopped",
    "remembered",
    "promised",
    "lost",
    "found",
    "heard",
    "because",
    "although",
]
SHORTEST, LONGEST = 80, 512  # tokens of a whole chat
SUPERVISED = 0.2  # of a chat's tokens, about


class Chat(NamedTuple):
    """Ids of a whole chat and its labels (−100 where nothing is learnt)."""

    input_ids: list[int]
    labels: list[int]


def write_manifest(folder: Path, count: int) -> Path:
    """`count` rows of text with a description to learn, of mixed lengths; returns the manifest."""
    from affect_mllm.data import manifest
    from affect_mllm.types import Sample

    rng = random.Random(0)
    rows = []
    for number in range(count):
        words = rng.randint(SHORTEST, LONGEST) - 40  # what template and question take
        answer = max(8, int(SUPERVISED * (words + 40)))
        heard, said = (
            " ".join(rng.choices(WORDS, k=length)) for length in (max(4, words - answer), answer)
        )
        rows.append(
            Sample(
                f"chat{number:05d}",
                folder,
                subtitle=heard,
                split="train",
                labels={"description": said},
            )
        )
    manifest.write(rows, folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def chats(manifest_path: Path, tokenizer: object) -> list[Chat]:
    """The rows as our own example maker renders them, for the contenders that want ids."""
    from affect_mllm import config
    from affect_mllm.types import Sample

    options = [f"data.prompt.system={SYSTEM}", f"data.max_tokens={4 * LONGEST}"]
    cfg = config.compose("train", ["experiment=demo", *options])
    maker = config.build(cfg.data).maker(tokenizer, {})
    made = []
    for line in manifest_path.read_text().splitlines():
        row = json.loads(line)
        sample = Sample(row["id"], manifest_path.parent, subtitle=row["subtitle"])
        example = maker.make(sample, {}, question=QUESTION, answer=row["labels"]["description"])
        made.append(Chat(list(example.input_ids), list(example.labels)))
    return made
