"""Our own emotion-wheel tables, and reading published ones."""

from __future__ import annotations

import pytest
from openpyxl import Workbook

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.emotion_wheel.published import read_tables
from affect_mllm.eval.emotion_wheel.score import pair_f1
from affect_mllm.types import DataError

TABLES = own.own_tables()


def family(label: str, wheel: str = "goemotions") -> str:
    return TABLES.classes(label)[TABLES.maps.index(f"{wheel}_level1")]


@pytest.mark.parametrize("wheel", own.WHEELS)
def test_fear_means_fear_and_neutral_has_a_place(wheel):
    assert {family(word, wheel) for word in ("fear", "Fearful", "afraid", "scared")} == {"fear"}
    assert family("neutral", wheel) == "neutral"
    assert family("fearless", wheel) != "fear"


def test_every_label_of_the_closed_benchmarks_has_a_place():
    labels = "happy sad neutral angry surprise disgust fear joy sadness anger worried happiness"
    labels += " contempt anxiety helplessness disappointment excited frustrated"
    labels += " amusement awe contentment excitement"
    found = own.coverage(labels.split())
    assert found.lacking == ()


def test_inflections_are_found_by_lemma_and_unknown_words_stand_alone():
    assert family("worries") == family("worried") == "fear"
    assert TABLES.classes("qwertz") == ("=qwertz",) * len(TABLES.maps)
    assert TABLES.has("worries")
    assert not TABLES.has("qwertz")
    assert pair_f1(["qwertz"], ["Qwertz "], TABLES) == 1.0
    assert pair_f1(["qwertz"], ["asdf"], TABLES) == 0.0


def test_words_of_degree_and_feeling_do_not_change_the_word():
    for label, word in {
        "slightly anxious": "anxious", "a sense of guilt": "guilt", "negative emotions": "negative",
        "feeling very happy": "happy", "sad_mood": "sad", "awe (or wonder)": "awe",
    }.items():  # fmt: skip
        assert TABLES.classes(label) == TABLES.classes(word), label
        assert TABLES.has(label)
    for label in ("not good", "no fear", "emotional state", "lack of confidence", "()", "_",
                  "(not) happy", "(un)happy", "anger (absent)", "(no longer) angry"):  # fmt: skip
        assert not TABLES.has(label), label


def test_coverage_counts_what_the_list_lacks():
    found = own.coverage(["happy", "qwertz", "qwertz", "asdf"])
    assert (found.labels, found.found, found.placed) == (4, 1, 1)
    negative = own.coverage(["negative"])
    assert (negative.found, negative.placed) == (1, 0), "a polarity has no family"
    assert found.lacking == (("qwertz", 2), ("asdf", 1))


def test_a_pairs_reward_is_worked_by_hand():
    # joy and sadness against joy alone: precision 1, recall 1/2 on each wheel.
    assert pair_f1(["happy", "sad"], ["glad"], TABLES) == pytest.approx(2 / 3)
    assert pair_f1(["happy"], [], TABLES) == 0.0
    assert pair_f1([], ["happy"], TABLES) == 0.0


def sheet(path, rows):
    book = Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(path)


@pytest.fixture
def published(tmp_path):
    (tmp_path / "format.csv").write_text('name,format\nglad,"glad,gladly"\nsad,"sad,sadly"\n')
    sheet(tmp_path / "synonym.xlsx", [
        ("word_run1", "synonym_run1"), ("Happy", "glad, cheery"), ("Sad", "unhappy"),
    ])  # fmt: skip
    sheet(tmp_path / "wheel1.xlsx", [
        ("level1", "level2", "level3"), ("Joy", "Happy", "Merry"), (None, None, "Jolly"),
        ("Gloom", "Sad", "Low"),
    ])  # fmt: skip
    return tmp_path


def test_published_tables_of_the_same_form_are_read(published):
    tables = read_tables(published)
    assert tables.maps == ("form", "synonym", "wheel1_level1", "wheel1_level2")
    assert tables.classes(" Gladly ") == ("glad", "happy", "joy", "happy")
    assert tables.classes("sad") == ("sad", "sad", "gloom", "sad")
    assert tables.classes("merry") == ("", "", "", "")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("format.csv", b"a,b\n1,2\n", "name and format"),
        ("synonym.xlsx", b"no workbook", "cannot be read"),
        ("wheel1.xlsx", None, "no wheel1.xlsx"),
        ("format.csv", None, "cannot be read"),
    ],
)
def test_a_faulty_folder_names_the_file(published, file, content, said):
    (published / file).unlink()
    if content is not None:
        (published / file).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_tables(published)
