"""avamerg: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.recipes.kit import Kit, Made, write


def dialogue(id: str, *said: str) -> dict[str, Any]:
    roles = ("speaker", "listener")
    history = [
        {"index": at, "role": roles[at % 2], "utterance": text} for at, text in enumerate(said)
    ]
    chain = {"speaker_emotion": "anxious", "event_scenario": "A test.", "emotion_cause": "Time."}
    profile = {"age": "young", "gender": "female", "timbre": "mid", "ID": 28}
    turn = {"context": said[-1], "dialogue_history": history, "response": "Take your time."}
    return {
        "conversation_id": id,
        "topic": "School",
        "speaker_profile": profile,
        "listener_profile": profile,
        "turns": [{**turn, "chain_of_empathy": {**chain, "goal_to_response": "To calm."}}],
    }


def make(root: Path, kit: Kit) -> Made:
    published = [root / f"train/{ending}/dia00007utt{at}_28.{ending}" for at in (0, 1, 2)
                 for ending in ("mp4", "wav")]  # fmt: skip
    kit.put(*published, root / "test/dia12utt1.mp4")
    path = write(
        root / "train.json", json.dumps([dialogue("00007", "Oh.", "What is it?", "Maths.")])
    )
    write(root / "test.json", json.dumps([dialogue("00012", "I fell.")]))
    return Made([str(root)], path, 2)
