"""`affect-mllm score` and `affect-mllm report` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm import config
from affect_mllm.data import media_root
from affect_mllm.tools.app import main
from affect_mllm.types import ExitCode
from tests.eval.runs import make_run

YAML = """
_target_: affect_mllm.eval.task.Task
name: toy
version: "1"
question: Which?
labels: [happy, sad, angry]
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "conf" / "benchmark").mkdir(parents=True)
    (tmp_path / "conf" / "benchmark" / "toy.yaml").write_text(YAML)
    monkeypatch.setattr(config, "conf_dir", lambda: tmp_path / "conf")
    run = make_run(tmp_path, conflict=False)
    return ["--benchmark", "toy", "--manifest", str(tmp_path / "manifest.jsonl"), "--predictions",
            str(run / "eval" / "toy" / "face+audio+text.predictions.jsonl")]  # fmt: skip


def call(*argv: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    return left.value.code


def test_json_goes_to_stdout_and_to_a_file(files, tmp_path, capsys):
    assert call("score", *files, "--json", "--out", str(tmp_path / "r.json")) == ExitCode.DONE
    printed = json.loads(capsys.readouterr().out)
    assert printed["metrics"]["accuracy"]["value"] == round(10 / 12, 6)
    assert printed["status"]["out_of_vocabulary"] == 1
    assert json.loads((tmp_path / "r.json").read_text()) == printed


def test_the_table_has_value_interval_and_unparsed(files, capsys):
    assert call("score", *files) == ExitCode.DONE
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "accuracy" in line)
    assert row.split("│")[2].strip() == "0.833"
    assert "coverage 100.0%" in out


def test_the_table_says_how_many_classes_of_a_mean_over_all_occur(files, tmp_path, capsys):
    path = tmp_path / "conf/benchmark/toy.yaml"
    assert call("score", *files) == ExitCode.DONE
    assert "occur" not in capsys.readouterr().out
    path.write_text(YAML.replace("angry]", "angry, fear]"))
    assert call("score", *files) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "macro_f1 (only 3 of 4 classes occur)" in out
    assert out.count("occur") == 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--compat", "official"), ExitCode.USAGE, "no published scorer"),
        (("--compat", "perhaps"), ExitCode.USAGE, "'lmms-eval', 'vlmevalkit'"),
        (("--benchmark", "joy"), ExitCode.USAGE, "toy"),
        (("--predictions", "none.jsonl"), ExitCode.FAILED, "cannot be read"),
        (("--manifest", "none.jsonl"), ExitCode.FAILED, "cannot be read"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(files, capsys, options, code, said):
    assert call("score", *files, *options) == code
    assert said in capsys.readouterr().err


def test_folds_are_given_as_several_manifests(files, tmp_path, capsys):
    rows = (tmp_path / "manifest.jsonl").read_text().splitlines(keepends=True)
    for name, part in (("one", rows[:5]), ("two", rows[5:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(part))
    folds = ["--manifest", str(tmp_path / "one.jsonl"), "--manifest", str(tmp_path / "two.jsonl")]
    others = [option for option in files if option not in files[2:4]]
    assert call("score", *others, *folds, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["n"] == 12
    assert call("score", *files, *folds[:2]) == ExitCode.FAILED
    assert "5 ids in several" in capsys.readouterr().err


def test_the_log_has_a_row_for_each_sample(files, tmp_path):
    assert call("score", *files, "--log", str(tmp_path / "log.jsonl")) == ExitCode.DONE
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert {row["id"]: row["status"] for row in rows}["s03"] == "out_of_vocabulary"
    assert (rows[1]["truth"], rows[1]["answer"]) == ("sad", "sad")


def test_faulty_predictions_are_listed_with_file_and_line(files, tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "s00", "response": "sad"}\n{"id": "nobody", "response": "sad"}\n{\n')
    assert call("score", *files, "--predictions", str(bad)) == ExitCode.FAILED
    err = capsys.readouterr().err
    assert f"{bad}:2: id 'nobody' is not in the manifest" in err
    assert f"{bad}:3: not JSON" in err


def test_a_report_is_written_beside_the_results(files, tmp_path, capsys):
    assert call("report", str(tmp_path / "run")) == ExitCode.DONE
    assert (tmp_path / "run" / "report.html").is_file()
    assert "report.html" in capsys.readouterr().out
    assert call("report", str(tmp_path / "run" / "train")) == ExitCode.FAILED


def test_labels_and_ids_are_enough(files, tmp_path, capsys):
    """The clips are gone, then the rows name nothing but labels: the numbers stay."""
    assert call("score", *files, "--json") == ExitCode.DONE
    whole = json.loads(capsys.readouterr().out)
    for clip in tmp_path.glob("*.mp4"):
        clip.unlink()
    assert call("score", *files, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == whole
    path = tmp_path / "manifest.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = ({key: row[key] for key in ("id", "split", "labels")} for row in rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert call("score", *files, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["metrics"] == whole["metrics"]


def test_a_media_root_that_is_gone_does_not_matter(files, tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.with_name(path.name + ".media_root.json").write_text('{"media_root": "/not/there"}')
    assert call("score", *files) == ExitCode.DONE


def test_a_manifest_whose_writing_was_cut_off_is_refused(files, tmp_path, capsys):
    """Its labels may be of one data set and its predictions' rows of another."""
    path = tmp_path / "manifest.jsonl"
    media_root.sidecar(path).write_text(json.dumps(media_root.CUT_OFF))
    assert call("score", *files) == ExitCode.FAILED
    assert "was cut off" in capsys.readouterr().err


def test_ids_of_the_publishers_own_form_are_found_and_said(files, tmp_path, capsys):
    assert call("score", *files, "--json") == ExitCode.DONE
    whole = json.loads(capsys.readouterr().out)
    path = tmp_path / "conf/benchmark/toy.yaml"
    path.write_text(YAML + 'ids: ["s{number:0>2}"]\n')
    answers = [json.loads(line) for line in Path(files[-1]).read_text().splitlines()]
    theirs = tmp_path / "theirs.csv"
    rows = "".join(f'{int(row["id"][1:])},"{row["response"]}"\n' for row in answers)
    theirs.write_text("number,response\n" + rows)
    told = [*files[:-1], str(theirs)]
    assert call("score", *told, "--json") == ExitCode.DONE
    printed = capsys.readouterr()
    assert json.loads(printed.out)["metrics"] == whole["metrics"]
    assert "theirs.csv: ids are read as s{number:0>2}, a form of toy" in printed.err
    assert call("score", *told, "--id-template", "{number}") == ExitCode.FAILED
    assert "'0' is not in the manifest" in capsys.readouterr().err
