"""Preferred and rejected answers: both forms, `same`, media of the other side, longer texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.kit import SUBSET, Kit, run, table, write
from tests.recipes.makers import MAKERS


def test_both_forms_have_the_preferred_answer_last_and_the_other_as_a_label(
    tmp_path: Path, kit: Kit
) -> None:
    ran = run("preferences", MAKERS["preferences"](tmp_path, kit).args, tmp_path)
    assert ran.code == 0, ran.err
    assert [row["messages"][-1]["content"] for row in ran.rows.values()] == [
        "A child.", "A child.", "Calm, he smiles."]  # fmt: skip
    assert [row["labels"]["rejected"] for row in ran.rows.values()] == [
        "A man at sea.",
        "Nobody.",
        "Sad.",
    ]
    assert [*ran.rows.values()][2]["messages"][0]["content"] == "<video><audio>\nHow does he feel?"
    assert "names the preferred one in 2 of 3 pairs (0.667)" in ran.out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rejected_images": ["b.jpg"]}, "media of the rejected side: rejected_images"),
        ({"rejected_response": 3}, "rejected_response 3"),
        ({"images": 3}, "image 3"),
        ({"messages": []}, "the roles []"),
    ],
)
def test_what_is_no_pair_is_refused(tmp_path: Path, change, reason: str) -> None:
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A child."}]
    record = {"messages": turns, "rejected_response": "Nobody."} | change
    path = write(tmp_path / "x.json", json.dumps([record]))
    ran = run("preferences", [str(path), "--licence", "own"], tmp_path)
    assert ran.code != 0
    assert reason in ran.err


def test_track_3_names_the_preferred_text_and_leaves_a_tie_undecided(
    tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["mer2026"](tmp_path, kit)
    texts = [["samplenew3_1", "They smile a lot.", "Sad.", "a1"],
             ["samplenew3_1", "Calm.", "Tense, and it shows.", "a1"],
             ["samplenew3_2", "Joy.", "Grief.", "same"]]  # fmt: skip
    table(tmp_path / "track3_emoprefer.csv", ["name", "a1", "a2", "preference"], *texts)
    ran = run("mer2026", [*made.args, SUBSET], tmp_path)
    assert ran.code == 0, ran.err
    first, second, tie = (row["labels"] for row in ran.rows.values())
    assert (first["chosen"], first["rejected"]) == ("They smile a lot.", "Sad.")
    assert (second["chosen"], second["rejected"]) == ("Calm.", "Tense, and it shows.")
    assert tie == {"a1": "Joy.", "a2": "Grief.", "preference": "same"}, "not trained on"
    assert "in 1 of 2 pairs (0.500)" in ran.out
    # Exchanged together with the verdict it is the same pair.
    turned = [[n, b, a, {"a1": "a2", "a2": "a1"}.get(p, p)] for n, a, b, p in texts]
    table(tmp_path / "track3_emoprefer.csv", ["name", "a1", "a2", "preference"], *turned)
    again = run("mer2026", [*made.args, SUBSET, "--out", str(tmp_path / "turned.jsonl")], tmp_path)
    keys = ("chosen", "rejected")
    pairs = [[row["labels"].get(key) for key in keys] for row in again.rows.values()]
    assert pairs == [[row["labels"].get(key) for key in keys] for row in ran.rows.values()]
