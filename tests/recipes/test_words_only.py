"""`--words-only`: annotations alone make rows to train on, of what is said in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.tools.validation import validate
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS


@pytest.mark.parametrize("name", ["meld", "aeb", "ch_sims"])
def test_rows_are_the_words_of_the_whole_ones(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    whole = run(name, [*made.args, SUBSET], tmp_path)
    for path in tmp_path.rglob("*.mp4"):
        path.unlink()
    out = tmp_path / "words.jsonl"
    ran = run(name, [*made.args, SUBSET, "--words-only", "--out", str(out)], tmp_path)
    assert ran.code == 0, ran.err
    assert "words only: no media were looked for" in ran.out
    read = {sample.id: sample for sample in manifest.read(out)}
    assert read.keys() == {
        i for i, row in whole.rows.items() if "messages" in row or row.get("subtitle")
    }
    for id, sample in read.items():
        assert not sample.has_media
        assert (sample.subtitle, sample.labels) == (
            whole.rows[id].get("subtitle"),
            whole.rows[id].get("labels", {}),
        )
    assert validate(out)[0].problems == ()


def test_a_data_set_that_says_nothing_is_refused(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["raf_db"](tmp_path, kit)
    ran = run("raf_db", [*made.args, SUBSET, "--words-only"], tmp_path)
    assert ran.code == 1
    assert "no row says anything without its media" in ran.err
    assert "--labels-only" in ran.err


def test_either_words_or_labels(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["meld"](tmp_path, kit)
    ran = run("meld", [*made.args, "--words-only", "--labels-only"], tmp_path)
    assert (ran.code, ran.manifests) == (2, [])
