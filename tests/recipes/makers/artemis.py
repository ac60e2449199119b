"""artemis: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    columns = ["art_style", "painting", "emotion", "utterance", "repetition"]
    told = [
        ["Baroque", "someone_a-dog-1650", "awe", 'The light, the "glow".', 7],
        ["Baroque", "someone_a-dog-1650", "something else", "I wonder.", 7],
        ["Cubism", "andré_étude", "fear", "It stares.", 5],
    ]
    path = table(root / "artemis_dataset_release_v0.csv", columns, *told)
    kit.put(
        root / "wikiart/Baroque/someone_a-dog-1650.jpg", root / "wikiart/Cubism/andré_étude.jpg"
    )
    return Made([str(root), "--media-root", str(root / "wikiart")], path, 3)
