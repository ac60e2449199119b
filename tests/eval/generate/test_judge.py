"""Judged metrics over a real server: verdicts, failures that are counted, resuming, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from affect_mllm.config import conf_dir
from affect_mllm.data import manifest
from affect_mllm.eval.chat import Endpoint
from affect_mllm.eval.generate.judge import Rubric, Verdict, judge, write_verdicts
from affect_mllm.eval.generate.llm_extract import LLMExtractor
from affect_mllm.eval.predictions import Prediction
from affect_mllm.tools import app
from affect_mllm.tools.judge import load_rubric
from affect_mllm.types import ConfigError, DataError, Sample
from tests.eval.server import served

RUBRICS = sorted(path.stem for path in (conf_dir() / "judge").glob("*.yaml"))
EMER = load_rubric("emer")
STEPS = load_rubric("mme_emotion")


def rows(count: int, **labels) -> list[Sample]:
    known = {"description": "She frowns and shouts.", "emotion": "angry", "answer": "angry"}
    known |= {"question": "How does she feel?"}
    known |= labels
    return [
        Sample(f"s{i}", Path(), subtitle="x", labels=known, group=f"g{i // 2}")
        for i in range(count)
    ]


def said(count: int, text: str = "she is angry") -> list[Prediction]:
    return [Prediction(f"s{i}", response=f"{text} {i}") for i in range(count)]


def ask(say, rubric: Rubric, count: int = 4, predictions=None) -> tuple[list[Verdict], list[dict]]:
    with served(say) as seen:
        chat = Endpoint(seen.url, "m", retries=0, backoff_s=0.0, workers=2)
        given = said(count) if predictions is None else predictions
        return judge(rubric, chat, rows(count), given), seen.requests


def test_a_judge_is_told_what_was_heard_where_the_row_has_it() -> None:
    (plain,), (told,) = rows(1), rows(1, audio_clue="A flat {voice}.")
    without, heard = (STEPS.messages(row, "THE ANSWER")[1]["content"] for row in (plain, told))
    assert heard == f"{without}\n\nWhat another model heard in the clip: A flat {{voice}}."
    assert replace(STEPS, hints={}).prompt_hash != STEPS.prompt_hash


@pytest.mark.parametrize("name", RUBRICS)
def test_every_rubric_quotes_the_row_and_reads_its_own_best_and_worst(name: str) -> None:
    rubric = load_rubric(name)
    text = rubric.messages(rows(1)[0], "THE ANSWER")[1]["content"]
    assert "THE ANSWER" in text
    assert all(str(rows(1)[0].labels[key]) in text for key in rubric.needs())
    for end in (0, 1):
        reply = (
            {"steps": [end, end]}
            if rubric.per_step
            else {key: bounds[end] for key, bounds in rubric.scores.items()}
        )
        scores = rubric.read(json.dumps(reply))
        assert scores == {name: bounds[end] for name, bounds in rubric.bounds.items()}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"clue_overlap": 3, "label_overlap": 7.5}', (3, 7.5)),
        ('Sure!\n```json\n{"clue_overlap": 3, "label_overlap": 7}\n``` {oops', (3, 7)),
        ('{"clue_overlap": 1, "label_overlap": 1} {"clue_overlap": 2, "label_overlap": 2}', (2, 2)),
        ('{"clue_overlap": 11, "label_overlap": 7}', None),
        ('{"clue_overlap": "3", "label_overlap": 7}', None),
        ('{"clue_overlap": true, "label_overlap": 7}', None),
        ('{"clue_overlap": NaN, "label_overlap": 7}', None),
        ('{"clue_overlap": 3}', None),
        ("3 and 7", None),
    ],
)  # fmt: skip
def test_only_a_reply_of_the_asked_form_is_read(reply: str, expected) -> None:
    found = EMER.read(reply)
    assert found == (
        None if expected is None else dict(zip(EMER.scores, map(float, expected), strict=True))
    )


def test_steps_give_recognition_reasoning_and_their_mean() -> None:
    assert STEPS.read('{"steps": [1, 0, 1, 0]}') == {
        "recognition": 0.0,
        "reasoning": pytest.approx(2 / 3),
        "cot": pytest.approx(1 / 3),
    }
    assert STEPS.read('{"steps": [1]}') == {"recognition": 1.0, "reasoning": 0.0, "cot": 0.5}
    assert STEPS.read('{"steps": [1, 2]}') is None
    assert STEPS.read('{"steps": []}') is None


def test_a_reply_of_another_form_is_asked_for_once_more_then_counted() -> None:
    good = '{"clue_overlap": 4, "label_overlap": 6}'

    def say(body: dict, _number: int) -> tuple[int, str]:
        text, turns = body["messages"][1]["content"], len(body["messages"])
        if "angry 1" in text:
            return 200, "I would rather not."
        return 200, good if "angry 0" in text or turns > 2 else "four and six"

    verdicts, requests = ask(say, EMER, 3)
    assert [v.status for v in verdicts] == ["ok", "unparsed", "ok"]
    assert verdicts[1].scores is None
    assert len(requests) == 1 + 2 + 2


def test_no_answer_gets_the_lowest_score_without_asking() -> None:
    verdicts, requests = ask(lambda _b, _n: (200, ""), EMER, 2, [Prediction("s0", response=" ")])
    assert [v.status for v in verdicts] == ["no_answer", "no_answer"], "s1 has no prediction at all"
    assert verdicts[0].scores == {"clue_overlap": 1.0, "label_overlap": 1.0}
    assert not requests


def test_a_silent_judge_is_counted_and_nothing_is_guessed() -> None:
    verdicts, _ = ask(lambda _b, _n: (503, "down"), EMER, 2)
    assert [(v.status, v.scores) for v in verdicts] == [("no_reply", None)] * 2


def test_a_row_without_the_reference_is_refused_before_anything_is_asked() -> None:
    with served(lambda _b, _n: (200, "")) as seen:
        chat = Endpoint(seen.url, "m")
        with pytest.raises(DataError, match="row s0: no label description"):
            judge(EMER, chat, [Sample("s0", Path(), subtitle="x")], said(1))
        assert not seen.requests


def test_a_rubric_needs_scores_or_steps() -> None:
    with pytest.raises(ConfigError, match="exactly one"):
        Rubric("x", "1", "{response}", "ours")
    with pytest.raises(ConfigError, match="emer"):
        load_rubric("nonsense")


def files(folder: Path, count: int) -> tuple[Path, Path]:
    plain = [Sample(s.id, folder, subtitle="x", labels=s.labels) for s in rows(count)]
    manifest.write(plain, folder / "manifest.jsonl")
    path = folder / "all.predictions.jsonl"
    path.write_text(
        "".join(json.dumps({"id": p.id, "response": p.response}) + "\n" for p in said(count))
    )
    return folder / "manifest.jsonl", path


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        app.main([str(each) for each in arguments])
    return int(left.value.code or 0)


def test_the_command_keeps_verdicts_and_asks_only_once(tmp_path: Path, capsys) -> None:
    rows_file, answers = files(tmp_path, 3)
    with served(lambda _b, _n: (200, '{"clue_overlap": 10, "label_overlap": 1}')) as seen:
        given = ("judge", "--rubric", "emer", "--predictions", answers, "--manifest", rows_file)
        assert command(*given, "--url", seen.url, "--model", "m") == 0
        assert command(*given, "--url", seen.url, "--model", "m") == 0
        assert len(seen.requests) == 3
    assert "ok 3" in capsys.readouterr().out
    kept = [json.loads(x) for x in (tmp_path / "all.emer.verdicts.jsonl").read_text().splitlines()]
    assert [row["id"] for row in kept] == ["s0", "s1", "s2"]
    assert kept[0]["judge"]["model"] == "m"
    assert kept[0]["prompt_hash"] == EMER.prompt_hash


def test_an_extractor_reads_lists_and_never_guesses(tmp_path: Path) -> None:
    replies = {"0": '["angry", "Sad"]', "1": "angry!", "2": "So: []", "3": '["cross"]'}

    def say(body: dict, _number: int) -> tuple[int, str]:
        return 200, replies[body["messages"][1]["content"].split()[-1]]

    with served(say) as seen:
        chat = Endpoint(seen.url, "m", workers=2)
        closed = list(LLMExtractor(chat, ("angry", "sad")).rows(said(4)))
        free = list(LLMExtractor(chat).rows(said(4)))
    assert [row["labels"] for row in closed] == [["angry", "sad"], [], [], []]
    assert [row["labels"] for row in free] == [["angry", "Sad"], [], [], ["cross"]]
    assert [row["extract_status"] for row in closed] == ["ok", "unparsed", "ok", "ok"]
    assert len({row["extraction"] for row in (*closed, *free)}) == 2


def test_extracted_labels_are_a_predictions_file(tmp_path: Path) -> None:
    _, answers = files(tmp_path, 2)
    out = tmp_path / "read.predictions.jsonl"
    with served(lambda _b, _n: (200, '["angry"]')) as seen:
        assert command("extract", "--predictions", answers, "--out", out, "--url", seen.url,
                       "--model", "m", "--labels", "angry, sad") == 0  # fmt: skip
    from affect_mllm.eval.predictions import read_predictions

    assert [row.labels for row in read_predictions(out)] == [("angry",), ("angry",)]


def test_extraction_keeps_what_the_model_said_of_itself_and_results_name_it(tmp_path: Path) -> None:
    from affect_mllm.eval.predictions import read_predictions
    from affect_mllm.eval.score.scoring import score
    from affect_mllm.eval.task import Task

    given = tmp_path / "own.predictions.jsonl"
    scores, out = {"angry": -2.0, "sad": -1.0}, tmp_path / "read.predictions.jsonl"
    row = {"id": "s0", "response": "cross", "scores": scores, "confidence": 0.7}
    given.write_text(json.dumps(row) + "\n")
    with served(lambda _b, _n: (200, '["angry"]')) as seen:
        assert command("extract", "--predictions", given, "--out", out, "--url", seen.url,
                       "--model", "m", "--labels", "angry, sad") == 0  # fmt: skip
        reader = LLMExtractor(Endpoint(seen.url, "m"), ("angry", "sad"))
    (read,) = said = read_predictions(out)
    assert (read.scores, read.confidence, read.extraction) == (scores, 0.7, reader.name)
    task = Task("t", "1", "?", labels=("angry", "sad"), split=None)
    found = score(task, rows(1), said)
    assert found["extraction"] == reader.name
    assert found["metrics"]["accuracy"]["value"] == 1.0, "the labels that were asked for count"
    assert score(task, rows(1), read_predictions(given))["extraction"] == task.policy
    mixed = [*said, Prediction("s1", "angry")]
    with pytest.raises(DataError, match="extraction"):
        score(task, rows(2), mixed)


def test_verdicts_hold_for_the_answers_that_were_judged_and_name_the_judge(tmp_path: Path) -> None:
    from affect_mllm.eval.benchmarks import load_task
    from affect_mllm.eval.read.verdicts import read_verdicts
    from affect_mllm.eval.score.scoring import score

    path, identity = tmp_path / "x.verdicts.jsonl", {"kind": "endpoint", "model": "m"}
    found, _ = ask(lambda _b, _n: (200, '{"clue_overlap": 10, "label_overlap": 10}'), EMER)
    write_verdicts(path, EMER, identity, found)
    task, verdicts = load_task("emer"), read_verdicts(path)
    samples = [replace(sample, split=task.split) for sample in rows(4)]
    result = score(task, samples, said(4), verdicts=verdicts)
    assert result["metrics"]["clue_overlap"]["value"] == 1.0
    assert result["verdicts"] == {
        "judge": identity,
        "rubric": f"{EMER.name} {EMER.version}",
        "prompt_hash": EMER.prompt_hash,
    }
    other = [*said(3), Prediction("s3", response="nothing of the kind")]
    with pytest.raises(DataError, match="1 are about other answers: s3"):
        score(task, samples, other, verdicts=verdicts)


@pytest.mark.parametrize(
    "change", [{"judge": {"model": "n"}}, {"rubric": "x 2"}, {"prompt_hash": "0"}]
)
def test_verdicts_of_several_judges_are_refused(tmp_path: Path, change: dict) -> None:
    from affect_mllm.eval.read.verdicts import read_verdicts

    path = tmp_path / "x.verdicts.jsonl"
    found, _ = ask(lambda _b, _n: (200, '{"clue_overlap": 1, "label_overlap": 1}'), EMER, 2)
    write_verdicts(path, EMER, {"model": "m"}, found)
    first, second = map(json.loads, path.read_text().splitlines())
    path.write_text(json.dumps(first) + "\n" + json.dumps(second | change) + "\n")
    with pytest.raises(DataError, match="several judges or rubrics"):
        read_verdicts(path)
    path.write_text(json.dumps({"id": "s0", "scores": None}) + "\n")
    with pytest.raises(DataError, match=r"x\.verdicts\.jsonl:1: 's0': no answer, judge"):
        read_verdicts(path)
