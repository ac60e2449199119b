"""A benchmark asked in other words and answered again: a whole run, resumed, and its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm import config
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.ways import ways
from affect_mllm.eval.main import main
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.report.page import write_report
from affect_mllm.models.decoding import TokenSampling
from affect_mllm.types import ConfigError, ExitCode
from tests.eval.runs import task

MORE = (
    "subsets=[audio,face+audio+text]",
    "+variants.same='{plain}'",
    "+variants.short='Sad, or what?'",
    "repeats=2",
    "sampling.temperature=3.0",
    "sampling.seed=5",
)
WAYS = ("wording-same", "wording-short", "repeat-1", "repeat-2")


@pytest.fixture(scope="module")
def command(tiny, tiny_run):
    """Function: a run directory and more overrides → an evaluation's overrides."""
    given = [f"checkpoint={tiny_run / 'instruct/final'}", "max_new_tokens=3", "batch_size=2"]
    given += [f"cache_dir={tiny.root / 'eval_features'}"]
    return lambda folder, *more: [*given, f"run_dir={folder}", *more]


@pytest.fixture(scope="module")
def done(command, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("again")
    assert main(command(folder, *MORE)) == ExitCode.DONE
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "eval/synthetic").iterdir()}


def rows_of(folder: Path, name: str) -> list[dict]:
    path = folder / f"eval/synthetic/audio.{name}.predictions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_way_has_a_file_whose_rows_say_how_they_were_asked(done) -> None:
    """Of the first subset, which is the reference; not of the others."""
    views = ("audio", "face+audio+text", *(f"audio.{way}" for way in WAYS))
    assert set(files(done)) == {f"{name}.predictions.jsonl" for name in views}
    plain = read_predictions(done / "eval/synthetic/audio.predictions.jsonl")
    for way in WAYS:
        rows = rows_of(done, way)
        assert [row["id"] for row in rows] == [row.id for row in plain]
        kind, name = way.split("-")
        assert {row[kind] for row in rows} == {name}
        drawn = f"sampled at temperature 3, top_p 1, seed 5, repeat {name}"
        assert all((drawn in row["data"]) == (kind == "repeat") for row in rows)
    hashes = {way: rows_of(done, way)[0]["prompt_hash"] for way in WAYS}
    assert hashes["wording-same"] == hashes["repeat-1"] == plain[0].prompt_hash
    assert hashes["wording-short"] != plain[0].prompt_hash


def test_the_plain_question_among_the_wordings_differs_by_nothing(done) -> None:
    run = json.loads((done / "results.json").read_text())["runs"]["synthetic"]
    found = run["wordings"]["audio"]
    same, short = found["rows"]
    pair = same["paired"]
    assert (pair["metric"]["value"], pair["n10"], pair["n01"], pair["p"]) == (0, 0, 0, 1)
    assert same["metrics"] == found["plain"]["metrics"] == run["variants"]["audio"]["metrics"]
    assert same["question"] == run["task"]["question"]
    assert short["question"] == "Sad, or what?"
    values = [found["plain"], same, short]
    values = [each["metrics"]["accuracy"]["value"] for each in values]
    assert found["best"]["value"] == max(values)
    assert found["spread"]["range"] == pytest.approx(max(values) - min(values))
    repeats = run["repeats"]["audio"]
    assert [row["name"] for row in repeats["rows"]] == ["1", "2"]
    assert repeats["spread"]["n"] == 2
    assert len(run["comparisons"]) == 2, "ways are no variants: their p stay among themselves"
    for way in WAYS:
        assert (done / run["predictions"][f"audio.{way}"]).is_file()


def test_a_run_that_was_broken_off_goes_on_and_leaves_the_same(
    done, command, tmp_path, monkeypatch
) -> None:
    generate, batches = Asker._generate, []

    def breaking(self, batch, rows, words):
        batches.append(len(rows))
        if len(batches) == 11:  # of two batches a file: in the sixth, that of the second repeat
            raise KeyboardInterrupt
        return generate(self, batch, rows, words)

    monkeypatch.setattr(Asker, "_generate", breaking)
    with pytest.raises(KeyboardInterrupt):
        main(command(tmp_path, *MORE))
    assert not (tmp_path / "results.json").exists()
    assert main(command(tmp_path, *MORE)) == ExitCode.DONE
    assert len(batches) == 13, "two batches were left"
    assert files(tmp_path) == files(done)
    # Other settings are other answers.
    assert main(command(tmp_path, *MORE, "sampling.seed=6")) == ExitCode.DONE
    assert len(batches) == 17, "both repeats, and no wording"


def test_the_report_shows_best_worst_and_spread(done, tmp_path) -> None:
    page = write_report([done], tmp_path / "report.html").read_text()
    run = json.loads((done / "results.json").read_text())["runs"]["synthetic"]
    for kind, head in (("wordings", "Other wordings of"), ("repeats", "Answers drawn again")):
        found = run[kind]["audio"]
        card = page.partition(head)[2].partition("</table>")[0]
        for place in ("best", "worst"):
            name = f"{'repeat ' * (kind == 'repeats')}{found[place]['name']}"
            said = f"{place} {name} ({100 * found[place]['value']:.1f} %)"
            assert said in card
        assert f"range {100 * found['spread']['range']:.1f} %" in card
        assert card.count('<th scope="row">') == 1 + len(found["rows"])
    assert "Sad, or what?" in page
    assert "temperature 3, top_p 1, seed 5" in page


def test_eleven_stimuli_come_with_the_project() -> None:
    cfg = config.compose("eval", ["checkpoint=x", "variants=emotion_prompt"])
    found = ways(task(), dict(cfg.variants), 0, TokenSampling())
    assert len({way.task.question for way in found}) == len(found) == 11
    assert all(way.task.question.startswith(f"{task().question} ") for way in found)


def test_a_wording_may_name_what_the_row_says() -> None:
    (way,) = ways(task(), {"x": "Is it {hint}? {plain}"}, 0, TokenSampling())
    assert way.task.question == "Is it {hint}? Which <emotion>?"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"+variants.a": "' '"}, "variants"),
        ({"+variants.plain": "x"}, "variants"),
        ({"+variants": "{a/b: x}"}, "variants"),
        ({"repeats": "-1"}, "repeats"),
        ({"repeats": "2", "answer_by": "likelihood"}, "repeats"),
        ({"sampling.temperature": "0"}, "temperature"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_loaded(
    command, tmp_path, wrong, named
) -> None:
    with pytest.raises(ConfigError, match=named):
        main(command(tmp_path, *(f"{key}={value}" for key, value in wrong.items())))
    assert not (tmp_path / "results.json").exists()
