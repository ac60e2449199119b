"""What `suite=` makes of a command line: one evaluation a benchmark, and a stage where asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from affect_mllm.eval.benchmarks import load_suite
from affect_mllm.eval.report.page import write_report
from affect_mllm.eval.suite_run import Told, stages
from affect_mllm.models.checkpoint import FORMAT_VERSION
from affect_mllm.tools import app
from affect_mllm.types import ConfigError
from tests.eval.report.test_browser import needs_browser, opened
from tests.processes import finished

CASES = Path(__file__).parents[1] / "contracts/benchmarks"


def manifests(folder: Path, names) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.jsonl").write_text("")
    return folder


def trained(run: Path) -> Path:
    for name, length in {"instruct": 3, "align": 1, "emotion": 2}.items():
        folder = run / "train" / name / "final"
        folder.mkdir(parents=True)
        meta = {"format_version": FORMAT_VERSION, "hashes": {}, "lineage": [{}] * length}
        (folder / "meta.json").write_text(json.dumps(meta))
    return run


def test_a_suite_is_its_benchmarks_one_after_another(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "m", load_suite("general").benchmarks)
    told = Told.of(["suite=general", f"manifests={folder}", "checkpoint=c", "run_dir=r", "x=1"])
    assert told is not None
    runs = list(told.runs())
    assert [run[-2].removeprefix("benchmark=") for run in runs] == [
        *load_suite("general").benchmarks
    ]
    assert runs[0] == ["checkpoint=c", "run_dir=r", "x=1", "benchmark=mme",
                       f"manifest={folder / 'mme.jsonl'}"]  # fmt: skip


def test_a_suite_lacks_no_benchmark_and_names_those_it_would(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "m", ["mme"])
    told = Told.of(["suite=general", f"manifests={folder}", "checkpoint=c"])
    assert told is not None
    with pytest.raises(ConfigError, match="no manifest of pope, mmbench"):
        list(told.runs())


def test_forgetting_asks_every_stage_of_a_run_in_its_order(tmp_path: Path) -> None:
    run, folder = trained(tmp_path / "run"), manifests(tmp_path / "m", ["pope", "meld"])
    told = Told.of(["suite=forgetting", f"manifests={folder}", f"checkpoint={run}", "run_dir=out"])
    assert told is not None
    found = [dict(each.split("=", 1) for each in one) for one in told.runs()]
    assert [(one["run_dir"], one["benchmark"]) for one in found] == [
        (f"out/{stage}", name) for stage in ("align", "emotion", "instruct")
        for name in ("meld", "pope")
    ]  # fmt: skip
    assert found[0]["checkpoint"] == str(run / "train/align/final")
    assert [one.get("untrained") for one in found] == ["true", "true", None, None, None, None]
    assert list(stages(run)) == ["align", "emotion", "instruct"]


def test_forgetting_needs_a_benchmark_of_either_side(tmp_path: Path) -> None:
    run, folder = trained(tmp_path / "run"), manifests(tmp_path / "m", ["meld"])
    told = Told.of(["suite=forgetting", f"manifests={folder}", f"checkpoint={run}"])
    assert told is not None
    with pytest.raises(ConfigError, match="no manifest of mer2023"):
        list(told.runs())


def test_what_does_not_go_with_a_suite_is_refused(tmp_path: Path) -> None:
    assert Told.of(["benchmark=meld", "checkpoint=c"]) is None
    with pytest.raises(ConfigError, match="benchmark: beside suite="):
        Told.of(["suite=general", "benchmark=meld", "manifests=m", "checkpoint=c"])
    with pytest.raises(ConfigError, match="manifests: none"):
        Told.of(["suite=general", "checkpoint=c"])
    with pytest.raises(ConfigError, match="no finished stage"):
        stages(tmp_path)


@pytest.fixture(scope="module")
def asked(tiny, tiny_run, tmp_path_factory) -> tuple[Path, str]:
    """The folder and the words of the real command on a tiny run's three stages."""
    root = tmp_path_factory.mktemp("forgetting")
    (root / "m").mkdir()
    Image.new("RGB", (48, 32), "teal").save(root / "m/picture.png")
    for name in ("meld", "pope", "mmbench"):
        rows = json.loads((CASES / f"{name}.json").read_text())["rows"]
        text = "".join(json.dumps(row | {"image": "picture.png"}) + "\n" for row in rows)
        (root / f"m/{name}.jsonl").write_text(text)
    command = ["eval.py", "suite=forgetting", f"manifests={root / 'm'}", f"checkpoint={tiny_run}",
               f"run_dir={root / 'out'}", "max_new_tokens=3", "workers=0"]  # fmt: skip
    code, said = finished(command)
    assert code == 0, said
    return root / "out", said


def test_every_stage_is_asked_before_and_after_and_the_result_has_the_table(asked) -> None:
    out, said = asked
    found = json.loads((out / "forgetting.json").read_text())
    assert [(row["run"], row["before"]) for row in found["rows"]] == [
        ("align", "align before training"),
        ("emotion", "align"),
        ("instruct", "emotion"),
        ("instruct", "align before training"),
    ]
    for row in found["rows"]:
        assert [each["comparable"] for each in row["rows"]] == [True] * 3
        assert row["emotion"]["benchmarks"] == 1
        assert row["general"]["benchmarks"] == 2
    assert "left out, without a manifest: mer2023, mer2024, iemocap4" in said
    assert "instruct against align before training; emotion" in said


def test_its_numbers_are_those_of_compare(asked, capsys) -> None:
    out, _ = asked
    with pytest.raises(SystemExit):
        app.main(["compare", str(out / "align"), str(out / "emotion"), "--json"])
    said = {row["benchmark"]: row for row in json.loads(capsys.readouterr().out)}
    rows = json.loads((out / "forgetting.json").read_text())["rows"][1]["rows"]
    assert {row["benchmark"] for row in rows} == set(said)
    for row in rows:
        assert row["difference"] == said[row["benchmark"]]["difference"]
        assert row["n"] == said[row["benchmark"]]["n"]


@needs_browser
def test_the_table_opens_in_the_report(asked, tmp_path) -> None:
    out, _ = asked
    page = write_report([out / name for name in ("align", "emotion", "instruct")],
                        tmp_path / "page.html")  # fmt: skip
    dom, hosts = opened(page, tmp_path, "--dump-dom")
    assert not hosts
    table = dom.split("Won on emotion, lost elsewhere", 1)[1].split("</table>", 1)[0]
    assert table.count("<tr>") == 5
    assert "before training" in table
