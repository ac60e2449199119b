"""Answers as other tools write them give the same predictions as our own file."""

from __future__ import annotations

import csv
import json

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.prediction_forms import Form, _made_id, form_of, matching
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.types import ConfigError, DataError

ROWS = [(7, 'She is "happy",\nI think.'), (12, "愤怒"), (0, "")]


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def delimited(path, delimiter=","):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = [("index", "prediction", "labels"), *((*row, "x") for row in ROWS)]
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def workbook(path):
    book = openpyxl.Workbook()
    for row in (("index", "prediction"), *ROWS):
        book.worksheets[0].append(row)
    book.save(path)
    return path


def parquet(path):
    ids, answers = zip(*ROWS, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"index": ids, "prediction": answers}), path)
    return path


TABLES = {
    "csv": lambda folder: delimited(folder / "p.csv"),
    "tsv": lambda folder: delimited(folder / "p.tsv", "\t"),
    "xlsx": lambda folder: workbook(folder / "p.xlsx"),
    "parquet": lambda folder: parquet(folder / "p.parquet"),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("form", [form_of("vlmevalkit"), Form("index", "prediction")])
def test_a_table_is_read_by_its_columns(tmp_path, kind, form):
    found = read_predictions(TABLES[kind](tmp_path), form=form)
    assert [(row.id, row.response) for row in found] == [(str(id), text) for id, text in ROWS]


def test_lmms_evals_samples(tmp_path):
    path = jsonl(
        tmp_path / "samples.jsonl",
        {"doc_id": 3, "target": "sad", "resps": [["happy"]], "filtered_resps": ["B"], "labels": 1},
    )
    (row,) = read_predictions(path, form=form_of("lmms-eval", id_template="test_{id}"))
    assert (row.id, row.response, row.labels) == ("test_3", "happy", None)


def test_a_batch_of_openais(tmp_path):
    def line(id, text, reason):
        body = {"choices": [{"message": {"content": text}, "finish_reason": reason}]}
        return {"custom_id": id, "response": {"status_code": 200, "body": body}, "error": None}

    failed = {"custom_id": "c", "response": None, "error": {"code": "batch_expired"}}
    path = jsonl(tmp_path / "b.jsonl", line("a", "sad", "stop"), line("b", "hap", "length"), failed)
    found = read_predictions(path, form=form_of("openai-batch"))
    assert [(row.id, row.response, row.finish_reason) for row in found] == [
        ("a", "sad", "stop"),
        ("b", "hap", "length"),
    ]


def test_an_id_is_made_of_several_columns(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("Dialogue_ID,Utterance_ID,response,confidence\n0,1,joy,0.5\n10,2,anger,\n")
    form = form_of(id_template="test_dia{Dialogue_ID}_utt{Utterance_ID}")
    found = read_predictions(path, form=form)
    assert [(row.id, row.confidence) for row in found] == [
        ("test_dia0_utt1", 0.5),
        ("test_dia10_utt2", None),
    ]


def test_our_rows_keep_their_other_keys_under_another_id(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", {"sample": 5, "labels": ["joy"], "scores": {"joy": 1}})
    (row,) = read_predictions(path, form=form_of(id_key="sample"))
    assert (row.id, row.labels, row.scores) == ("5", ("joy",), {"joy": 1.0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,response\na,joy\n", "p.csv:2: no id (text or a whole number)"),
        ("id,answer\na,joy\n", "p.csv:2: no response (keys: id, answer); --response-key"),
        ("id,response\na,joy,sad\n", "3 cells under 2 names"),
        ('id,response\na,"joy\n', "cannot be read as a table"),
        ("id,response,confidence\na,joy,high\n", "confidence is not a number"),
        ("id,response\na,joy\n\na,sad\n", "p.csv:4: id 'a' again, first at"),
    ],
)
def test_a_fault_of_a_table_is_named(tmp_path, text, said):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_predictions(tmp_path / "p.csv")
    assert said in str(caught.value)


def test_an_unknown_form_is_named():
    with pytest.raises(ConfigError, match="lmms-eval"):
        form_of("helm")


MELD = ("test_{id:stem}", "test_dia{Dialogue_ID}_utt{Utterance_ID}")
KNOWN = {f"test_dia{d}_utt{u}" for d in range(3) for u in range(3)}


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("id,response\ntest_dia0_utt1,joy\ntest_dia2_utt2,joy\n", "{id}"),
        ("id,response\ndia0_utt1,joy\ndia2_utt2,joy\n", MELD[0]),
        ("id,response\nclips/dia0_utt1.mp4,joy\n", MELD[0]),
        ("Sr No.,Dialogue_ID,Utterance_ID,response\n7,0,1,joy\n8,2,2,joy\n", MELD[1]),
        ("id,Dialogue_ID,Utterance_ID,response\n1,0,1,joy\n2,2,2,joy\n", MELD[1]),
        ("id,Dialogue_ID,Utterance_ID,response\ndia0_utt1,0,1,joy\n", MELD[0]),  # both, alike
        ("id,response\ndia0_utt1,joy\ndia9_utt9,joy\n", MELD[0]),  # which reading then names
        ("id,response\nanother,joy\n", "{id}"),
        ("name,response\ndia0_utt1,joy\n", "{id}"),
    ],
)
def test_a_publishers_ids_are_those_that_the_manifest_has(tmp_path, text, template):
    path = tmp_path / "p.csv"
    path.write_text(text)
    form = matching(path, Form(), KNOWN, MELD)
    assert form.id_template == template
    assert matching(path, Form(), KNOWN, ()).id_template == "{id}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,Dialogue_ID,Utterance_ID,response\ndia0_utt1,0,2,joy\n", "2: .*dia0_utt1.*dia0_utt2"),
        ("id,response\ndia0_utt0,joy\ndia0_utt1,joy\n", "2: .*{id} → dia0_utt0.*test_dia0_utt0"),
        ("id,response\nlone,joy\ndia0_utt1,joy\n", "2: .*{id} → lone.*→ none"),
    ],
)
def test_ids_that_fit_in_two_ways_are_refused(tmp_path, text, said):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        matching(path, Form(), KNOWN | {"dia0_utt0", "lone"}, MELD)


def test_an_id_may_lose_its_ending_and_be_filled_up(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("video,clip,response\na b.c,7,joy\n")
    form = form_of(id_template="{video}${clip:0>4}")
    assert [row.id for row in read_predictions(path, form=form)] == ["a b.c$0007"]
    form = form_of(id_template="{video:.=-: =}_{clip}")
    assert [row.id for row in read_predictions(path, form=form)] == ["ab-c_7"]
    form = form_of(id_template="{video:stem:_>5}")
    assert [row.id for row in read_predictions(path, form=form)] == ["__a b"]
    with pytest.raises(ConfigError, match="a width like"):
        read_predictions(path, form=form_of(id_template="{clip:x}"))


def test_ids_of_mmsas_archives_are_known():
    mosi, sims = (load_task(name).ids for name in ("cmu_mosi_intensity", "ch_sims"))
    for ids, theirs, ours in ((mosi, "03bS$_$11", "03bS_11"), (sims, "v_1$_$0002", "v_1_0002")):
        made = [_made_id({"id": theirs}, form_of(id_template=one)) for one in ids if "{id" in one]
        assert ours in made
