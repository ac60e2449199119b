"""The two commands that docs/evaluation.md prints for a data set without its clips."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from affect_mllm.tools.app import main
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS

PAGE = Path(__file__).resolve().parents[2] / "docs/evaluation.md"


def test_melds_tables_and_anothers_answers_are_enough(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    MAKERS["meld"](tmp_path / "made", kit)
    (tmp_path / "MELD").mkdir()
    for table in (tmp_path / "made").glob("*.csv"):
        shutil.copy(table, tmp_path / "MELD")
    (tmp_path / "theirs.csv").write_text("utterance,output\ndia0_utt0,She is full of fear.\n")
    monkeypatch.chdir(tmp_path)
    first, second, *_ = (
        shlex.split(line)
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if "--labels-only --out" in line or "--id-key utterance" in line
    )
    made = run("meld", [*first[2:], SUBSET], tmp_path)
    assert made.code == 0, made.err
    with pytest.raises(SystemExit) as left:
        main([*second[1:], "--json"])
    assert left.value.code == 0
    scored = json.loads(capsys.readouterr().out)
    assert (scored["n"], scored["metrics"]["accuracy"]["value"]) == (1, 1.0)
