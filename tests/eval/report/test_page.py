"""The report: complete, self-contained, escaped, and honest about what is absent."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from affect_mllm.eval.report import charts
from affect_mllm.eval.report.clips import choose
from affect_mllm.eval.report.data import load_run
from affect_mllm.eval.report.page import write_report
from affect_mllm.eval.report.reads import against_first
from affect_mllm.eval.report.wheel import FAMILIES, families
from affect_mllm.eval.score.scoring import read_answers
from affect_mllm.eval.score.summary import summarise, write_results
from affect_mllm.types import ConfigError, DataError
from tests.eval.runs import answers, corpus, make_run, task

VOID = {"meta", "img", "input", "br", "link", "line", "rect", "polyline", "polygon"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; an unclosed or wrongly closed tag is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag, css=""):
        return [a for t, a in self.tags if t == tag and set(css.split()) <= set(
            (a.get("class") or "").split())]  # fmt: skip

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(run):
    return Page(write_report([run], run / "report.html").read_text())


def test_nothing_is_loaded_from_elsewhere(run, page):
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,"))
    text = (run / "report.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert not page.all("script")
    assert not page.all("link")


def test_texts_of_the_data_stay_texts(run, page):
    assert "<script>alert('x')</script> & co" in page.words
    assert "<b>sad</b>" in page.words
    assert not page.all("b")
    assert "Which <emotion>?" in page.words


def test_the_results_are_there_with_intervals_ceilings_and_tests(page):
    words = page.words
    assert "SYNTHETIC data." in words
    for said in ("face+audio+text", "untrained", "majority", "closed_label_v4", "83.3 %", "75.0 %"):
        assert said in words
    assert "seed" in words
    assert "small & fast" in words
    assert page.all("line", "ceiling")
    assert page.all("td", "hit")


def test_the_training_table_uses_the_last_row_of_each_step(page):
    assert "align 30 of 30 3 0.1 1 min 00 s" in page.words
    assert "1 lines of its logs could not be read" in page.words
    points = [a["points"] for a in page.all("polyline", "line k0")]
    assert [len(p.split()) for p in points] == [4, 4, 4]  # two losses, one gate


def test_clips_have_pictures_sound_and_what_was_said(run, page):
    articles = page.all("article")
    assert (
        sorted(a["class"] for a in articles) == ["card clip right"] * 10 + ["card clip wrong"] * 2
    )
    assert len(page.all("img")) == 4 * 10  # one clip has no picture, one is broken
    assert len(page.all("svg", "wave")) == 10
    assert "1 could not be decoded in full" in page.words
    assert "frames: DataError" in page.words
    for said in ("words of s05", "emotion 0.75", "(out_of_vocabulary)", "face, audio"):
        assert said in page.words


def test_conflict_parts_are_shown_with_the_share_of_the_other_class(page):
    words = page.words
    assert "video_aligned" in words
    assert "other class" in words
    # Both variants: the first of two video-aligned clips was answered with the other class.
    assert words.count("50.0 % 9.5–90.5 50.0 % 9.5–90.5") >= 2


def test_absent_parts_are_said(tmp_path):
    run = make_run(tmp_path, conflict=False)
    shutil.rmtree(run / "train")
    shutil.rmtree(run / "eval")
    words = Page(write_report([run], tmp_path / "r.html").read_text()).words
    assert "No training metrics in this run directory." in words
    assert "No further benchmark (such as the conflict clips) was run." in words
    assert "No clips are shown." in words
    assert "cannot be read" in words


def test_a_fact_that_is_none_is_left_out(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run/results.json"
    results = json.loads(path.read_text())
    results["info"] = {"git": None, "baseline": None, "seed": 0}
    path.write_text(json.dumps(results))
    page = Page(write_report([tmp_path / "run"], tmp_path / "r.html").read_text())
    assert "seed 0" in page.words
    assert "None" not in page.words
    assert "git" not in page.words


def test_several_runs_share_one_page_with_mean_and_spread(run, tmp_path):
    page = Page(write_report([run, run], tmp_path / "both.html").read_text())
    assert "standard deviation" in page.words
    assert "83.3 % 0.0 %" in page.words
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_page(run, page, tmp_path):
    again = write_report([run], tmp_path / "again.html").read_bytes()
    assert again == (run / "report.html").read_bytes()


@pytest.mark.parametrize("content", [None, "{", "{}", '{"runs": {}}', '{"runs": {"a": {}}}'])
def test_a_directory_without_results_is_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(DataError, match=r"results\.json"):
        load_run(tmp_path)


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="one or more"):
        write_report([], tmp_path / "r.html")


def test_clips_are_half_wrong_where_there_are_enough():
    rows = corpus(60)
    for wrong, expected in ((30, 6), (2, 2), (0, 0), (57, 9)):
        said = answers(rows, {s.id: "?" for s in rows[:wrong]})
        read = read_answers(task(), rows, said)
        chosen = choose(read, 12)
        assert len(set(chosen)) == 12
        assert int(np.sum(~read.right[chosen])) == expected


@pytest.mark.parametrize("top", [0.003, 0.9, 1.0, 2.9, 7, 1234])
def test_axis_values_are_few_round_and_reach_the_top(top):
    ticks = charts.nice_ticks(top)
    assert ticks[0] == 0
    assert top <= ticks[-1] + 1e-9 <= 1.7 * top + 1e-6
    assert 4 <= len(ticks) <= 6


def test_charts_survive_values_that_are_not_finite():
    chart = charts.lines({"loss": [(1, float("nan"))]}, title="loss", unit="step")
    assert "no finite values" in chart


def other_run(root, run, *, wrong: str, **changes):
    """The same corpus answered by another model, right but for one clip."""
    import json

    from affect_mllm.data import manifest
    from tests.eval.runs import write_predictions

    samples = [s for s in manifest.read(run.parent / "manifest.jsonl") if s.split == "test"]
    said = [replace(row, **changes) for row in answers(samples, {wrong: "angry"})]
    path = write_predictions(root / "eval/toy/x.predictions.jsonl", said)
    found = summarise(task(synthetic=True), samples, {"face+audio+text": said})
    found |= {"manifest": run.parent / "manifest.jsonl", "predictions": {"face+audio+text": path}}
    write_results(root, {"toy": found})
    return json.loads((root / "results.json").read_text())


def test_runs_are_compared_with_the_first_on_the_same_samples(run, tmp_path):
    other_run(tmp_path, run, wrong="s00")
    (entry,) = against_first([load_run(run), load_run(tmp_path)])
    (row,) = entry["rows"]
    assert entry["benchmark"] == "toy"
    # The first run has s00 and s03 wrong, the other one s00 alone.
    assert (row["only_first"], row["only_this"]) == ([], ["s03"])
    found = row["difference"]
    assert found["value"] == pytest.approx(1 / 12)
    assert found["ci_low"] <= found["value"] <= found["ci_high"]
    # Of 12 samples only s03 tells them apart: 11 alike, s00 right in none of the two.
    assert entry["stability"]["agreement"] == pytest.approx(11 / 12)
    assert entry["stability"]["consensus"] == pytest.approx(10 / 12)
    words = Page(write_report([run, tmp_path], tmp_path / "page.html").read_text()).words
    assert "against" in words
    assert "same samples right or wrong in 91.7 % of them" in words
    assert "+8.3" in words


def test_a_run_that_is_not_comparable_says_why_and_across_it_may_be(run, tmp_path):
    other_run(tmp_path, run, wrong="s00", prompt_hash="def")

    def words(**more):
        return Page(write_report([run, tmp_path], tmp_path / "p.html", **more).read_text()).words

    assert "not comparable: another prompt: def instead of abc" in words()
    across = words(across=["prompt"])
    assert "not comparable" not in across
    assert "another prompt: def instead of abc" in across
    (tmp_path / "eval/toy/x.predictions.jsonl").unlink()
    assert "x.predictions.jsonl" in words(across=["prompt"])
    with pytest.raises(ConfigError, match="--across"):
        words(across=["version"])


def test_a_scale_is_shown_in_its_unit_and_without_a_confusion(tmp_path):
    from affect_mllm.data import manifest
    from affect_mllm.eval.predictions import Prediction
    from affect_mllm.types import Sample
    from tests.eval.runs import write_predictions

    scale = task(kind="regression", labels=(), low=-3, high=3, truth="sentiment",
                 metrics=("mae", "pearson"))  # fmt: skip
    samples = [
        Sample(f"s{i}", tmp_path, subtitle="x", split="test", labels={"sentiment": i - 2})
        for i in range(5)
    ]
    manifest.write(samples, tmp_path / "manifest.jsonl")
    said = [Prediction(s.id, response=f"{s.labels['sentiment'] + 1}") for s in samples]
    path = write_predictions(tmp_path / "x.predictions.jsonl", said)
    found = summarise(scale, samples, {"face+audio+text": said})
    found |= {
        "manifest": tmp_path / "manifest.jsonl",
        "predictions": {"face+audio+text": path},
        "followed": {"audio": {n: {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 5}
                               for n in ("donor", "own", "neither")}},
    }  # fmt: skip
    write_results(tmp_path, {"toy": found})
    page = Page(write_report([tmp_path], tmp_path / "page.html").read_text())
    assert "1.000" in page.words
    assert "Confusion of" not in page.words
    assert "Which modality does the model follow?" in page.words
    assert "50.0 % 40.0–60.0" in page.words


def test_a_mean_over_classes_that_do_not_all_occur_says_so(tmp_path):
    from affect_mllm.data import manifest
    from tests.eval.runs import answers, corpus, write_predictions

    rows = corpus(6, root=tmp_path)
    manifest.write(rows, tmp_path / "manifest.jsonl")
    path = write_predictions(tmp_path / "x.predictions.jsonl", answers(rows))
    four = task(labels=("happy", "sad", "angry", "fear"))
    found = summarise(four, rows, {"face+audio+text": answers(rows)})
    found |= {"manifest": tmp_path / "manifest.jsonl", "predictions": {"face+audio+text": path}}
    write_results(tmp_path, {"toy": found})
    page = Page(write_report([tmp_path], tmp_path / "page.html").read_text())
    assert page.words.count("only 3 of 4 classes occur") == 1


def test_of_one_group_open_lists_and_numbers_nothing_is_claimed(tmp_path):
    """No interval and no p below 1; right is what scoring decided; a correlation is no percent."""
    from affect_mllm.data import manifest
    from affect_mllm.eval.predictions import Prediction
    from affect_mllm.eval.report.clips import load_clips
    from affect_mllm.types import Sample
    from tests.eval.runs import write_predictions

    lists = task(kind="open_vocabulary", labels=(), truth="emotions", metrics=("ew_f1",))
    scale = task(kind="regression", labels=(), low=-3, high=3, truth="sentiment",
                 metrics=("mae", "pearson"))  # fmt: skip
    rows = [
        Sample(f"s{i}", tmp_path, subtitle="x", split="test", group="one",
               labels={"emotions": ["angry", "sad"], "sentiment": i - 2.0})
        for i in range(5)
    ]  # fmt: skip
    manifest.write(rows, tmp_path / "manifest.jsonl")
    for one, said in ((lists, "mad"), (scale, "{:.2f}")):
        run = tmp_path / one.kind
        answered = [Prediction(s.id, said.format(s.labels["sentiment"] + 0.1)) for s in rows]
        path = write_predictions(run / "x.predictions.jsonl", answered)
        found = summarise(one, rows, {"face+audio+text": answered})
        found |= {"manifest": tmp_path / "manifest.jsonl", "predictions": {"face+audio+text": path}}
        write_results(run, {"toy": found})
        clips = load_clips(load_run(run), load_run(run).benchmarks["toy"])
        assert [clip.right for clip in clips.items] == [True] * 5
        page = Page(write_report([run], run / "page.html").read_text())
        assert "no interval: one group" in page.words
        assert "With 1 group no difference can reach p = 0.05." in page.words
        assert not page.all("line", "whisker")
        assert "< 0.001" not in page.words
    assert "1.000 no interval" in page.words, "Pearson's"


def test_who_read_the_answers_is_what_the_result_records(tmp_path):
    samples = corpus()
    said = [
        replace(row, response="", labels=(sample.labels["emotion"],), extraction="llm small@1")
        for sample, row in zip(samples, answers(samples), strict=True)
    ]
    write_results(tmp_path, {"toy": summarise(task(), samples, {"face+audio+text": said})})
    words = Page(write_report([tmp_path], tmp_path / "page.html").read_text()).words
    assert "Answers read by llm small@1 : ok 12" in words


def test_families_of_true_and_answered_labels():
    true = families([("happy",), ("sad", "angry"), ("neutral",), ()])
    assert true == {
        **dict.fromkeys(FAMILIES, 0.0),
        "joy": 0.25,
        "sadness": 0.125,
        "anger": 0.125,
        "neutral": 0.25,
        "other": 0.25,
    }


def test_answers_that_the_model_gave_itself_can_be_read(run, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    folder = copy / "train" / "reinforce"
    folder.mkdir(parents=True)
    steps, groups = [], []
    for step in range(1, 31):
        told = {"reward": step / 30, "dead_groups": 0.5, "wheel": step / 40}
        told |= {"wheel/constant": 0.31} if step == 1 else {}
        learnt = {"loss": 0.1} if step % 2 else {}  # a step of dead groups has no loss
        steps.append(json.dumps({"step": step, "steps": 30, "rollout": told, **learnt}))
        answers_of = [
            {"text": f"<b>{n} of {step}", "ended": n > 0, "tokens": 3, "rewards": {"wheel": n / 4},
             "reward": None if n == 2 else n / 4, "advantage": n - 1.0}
            for n in range(3)
        ]  # fmt: skip
        asked = {"step": step, "id": "x", "question": "Which?", "answers": answers_of}
        groups += [json.dumps(asked)] * 3
    (folder / "metrics.jsonl").write_text("\n".join(steps) + "\n")
    (folder / "rollouts-0.jsonl").write_text("\n".join([*groups, "no row", '{"step": 3']))
    page = Page(write_report([copy], tmp_path / "page.html").read_text())
    assert "Answers of reinforce" in page.words
    shown = [words for words in page.words.split() if words == "step"]
    assert len(page.all("details", "rollouts")) == 12
    assert "<b>0 of 1 (cut off)" in page.words
    assert "<b>2 of 30" in page.words
    assert "wheel, one answer for all" in page.words
    assert "reinforce: 1 lines of its logs could not be read" in page.words
    assert shown
