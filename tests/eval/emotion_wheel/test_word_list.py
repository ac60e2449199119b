"""What holds for the word list, version 2: its places, its choices and its two placements."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pytest

from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.emotion_wheel import own, placements
from affect_mllm.eval.read import joint
from tests.eval.reference import FOLDER, load, needs_reference

TABLES = own.own_tables()
LABELS = ("closed_label", "multi_label", "sentiment", "distribution")
OTHERS = ("v2v_listwise",)  # whose labels are places in a list
# The names of four publications: emotions of VCE and EmoNet-Voice, contexts of EmpatheticDialogues,
# OCC's types.
PUBLISHED = {
    "VCE": (27, """admiration, adoration, aesthetic appreciation, amusement, anger, anxiety, awe (or
        wonder), awkwardness, boredom, calmness, confusion, craving, disgust, empathic pain,
        entrancement, excitement, fear, horror, interest, joy, nostalgia, relief, romance, sadness,
        satisfaction, sexual desire, surprise"""),
    "EmoNet-Voice": (40, """Amusement, Elation, Pleasure/Ecstasy, Contentment,
        Thankfulness/Gratitude, Affection, Infatuation, Hope/Enthusiasm/Optimism, Triumph, Pride,
        Interest, Awe, Astonishment/Surprise, Concentration, Contemplation, Relief, Longing,
        Teasing, Impatience and Irritability, Sexual Lust, Doubt, Fear, Distress, Confusion,
        Embarrassment, Shame, Disappointment, Sadness, Bitterness, Contempt, Disgust, Anger,
        Malevolence/Malice, Sourness, Pain, Helplessness, Fatigue/Exhaustion, Emotional Numbness,
        Intoxication/Altered States of Consciousness, Jealousy & Envy"""),
    "EmpatheticDialogues": (32, """afraid, angry, annoyed, anticipating, anxious, apprehensive,
        ashamed, caring, confident, content, devastated, disappointed, disgusted, embarrassed,
        excited, faithful, furious, grateful, guilty, hopeful, impressed, jealous, joyful, lonely,
        nostalgic, prepared, proud, sad, sentimental, surprised, terrified, trusting"""),
    "OCC": (22, """happy-for, resentment, gloating, pity, hope, fear, satisfaction, fears-confirmed,
        relief, disappointment, joy, distress, pride, shame, admiration, reproach, gratification,
        remorse, gratitude, anger, love, hate"""),
    "missing in version 1": (19, """good, bad, awful, great, terrible, bittersweet, stoic, wounded,
        trepidation, positive, negative, warning, heavy, accuse, breakdown, praise, quarrel, refuse,
        threat"""),
}  # fmt: skip


def families(word: str, level: str = "level1") -> dict[str, str]:
    classes = TABLES.classes(word)
    return {w: classes[TABLES.maps.index(f"{w}_{level}")] for w in own.WHEELS}


def sense_of(word: str) -> str:
    found = own.look_up(own.normal(word))
    assert found is not None, word
    return found[1].name


def test_every_form_stands_once_and_so_once_on_each_wheel():
    forms = Counter(form for sense in own.senses() for word in sense.words for form in word)
    assert [form for form, count in forms.items() if count > 1] == []
    assert all(form == own.normal(form) and form for form in forms)


def test_every_place_is_a_branch_and_every_branch_has_a_word():
    roots = own.roots()
    for places in (placements.first_placement(), placements.second_placement()):
        for word, (*branches, sign) in places.items():
            named = zip(own.WHEELS, branches, strict=True)
            assert all(b == "-" or b in roots[wheel] for wheel, b in named), word
            assert sign in {"+", "-", "0"}, word
    used = {(w, s.branches[i]) for s in own.senses() for i, w in enumerate(own.WHEELS)}
    assert {(wheel, branch) for wheel in own.WHEELS for branch in roots[wheel]} <= used


def test_opposites_share_no_family():
    # Joy at another's harm and wanting too much are negative by polarity, not by family.
    apart = [s for s in own.senses() if s.name not in {"gloating", "greed"}]
    positive = {s.branches[0] for s in apart if s.polarity == "+"}
    negative = {s.branches[0] for s in apart if s.polarity == "-"}
    assert positive & negative == {"-"} & positive


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_have_a_place(name):
    count, text = PUBLISHED[name]
    labels = [own.normal(label) for label in text.split(",")]
    assert len(labels) == count
    assert own.coverage(labels).lacking == ()


def test_every_label_of_every_task_has_a_place():
    lacking = {}
    for name in benchmark_names():
        task = load_task(name)
        if task.kind in LABELS and name not in OTHERS:
            emotions = [label.split(joint.SEPARATOR)[0] for label in task.labels]
            lacking |= {name: own.coverage(emotions).lacking}
    assert len(lacking) > 20
    assert {name: found for name, found in lacking.items() if found} == {}


def test_lack_of_feeling_is_a_branch_beside_neutral():
    for word in ("indifferent", "apathetic", "numb", "detached", "冷漠", "Emotional Numbness"):
        assert set(families(word).values()) == {"neutral"}, word
        assert set(families(word, "level2").values()) == {"apathy"}, word
    assert set(families("neutral", "level2").values()) == {"neutral"}
    assert families("bored")["plutchik"] == "disgust", "Plutchik's own place"


def test_calm_is_decided_once_and_excited_is_a_joy_on_every_wheel():
    calm = ("calm", "calmness", "composed", "patient", "quiet", "平静", "stoic")
    assert {f for word in calm for f in families(word).values()} == {"neutral"}
    assert {f for word in ("peaceful", "relaxed") for f in families(word).values()} == {"joy"}
    for word in ("excited", "excitement", "thrilled", "enthusiastic"):
        assert families(word) == families("happy"), word


def test_traits_stand_in_no_family_of_another_feeling():
    happy, fear = families("happy"), families("fear")
    for wheel in own.WHEELS:
        assert families("stubborn")[wheel] != happy[wheel]
        assert families("smug")[wheel] != happy[wheel]
        assert families("humble")[wheel] not in (fear[wheel], happy[wheel])


@pytest.mark.parametrize(
    ("feels", "does"),
    [
        ("insulted", "insulting"), ("threatened", "threatening"), ("intimidated", "intimidating"),
        ("humiliated", "humiliating"), ("bullied", "bullying"), ("mocked", "mocking"),
        ("accused", "accusing"), ("blamed", "blaming"), ("scolded", "scolding"),
        ("criticized", "criticizing"), ("belittled", "belittling"), ("despised", "despising"),
        ("hated", "hateful"), ("rejected", "rejecting"), ("respected", "respectful"),
        ("praised", "praising"), ("comforted", "comforting"), ("encouraged", "encouraging"),
        ("hurt", "hurtful"), ("disrespected", "disrespectful"),
    ],
)  # fmt: skip
def test_who_feels_and_who_does_it_stand_apart(feels, does):
    assert sense_of(feels) != sense_of(does)
    assert families(feels, "level2") != families(does, "level2")


def test_an_insult_hurts_the_one_and_is_the_others_contempt():
    assert set(families("insulted").values()) == {"sadness"}
    assert sense_of("insult") == sense_of("insulting") == "contempt"


def test_choices_name_words_of_the_list_and_their_sense():
    found = placements.choices()
    assert [c.word for c in found if sense_of(c.word) != c.sense or not c.why.strip()] == []
    bases = {word[0] for sense in own.senses() for word in sense.words}
    names = {sense.name for sense in own.senses()}
    moved = [c for c in found if c.first != c.sense]
    assert all(c.word in bases and c.first in names for c in moved)
    assert not {c.word for c in moved} & {c.word for c in found if c not in moved}
    for word in ("calm", "excited", "numb", "stubborn", "smug", "humble", "insulted", "negative"):
        assert word in {c.word for c in found}, "a choice without a line"


def test_both_placements_have_the_same_words_and_agree():
    first, second = placements.first_placement(), placements.second_placement()
    assert first.keys() == second.keys() == {w[0] for s in own.senses() for w in s.words}
    found = placements.agreement()
    assert all(0.85 < value < 1 for name, value in found.items() if "level2" not in name), found
    assert all(0.8 < value < 1 for value in found.values()), found


def test_differences_are_those_in_a_family():
    found = placements.differences()
    first, second = found["calm"]
    assert first[1:3] == ("neutral", "neutral")
    assert second[1:3] == ("serenity", "contentment")
    assert "happy" not in found
    assert 0 < len(found) < len(placements.first_placement()) / 5


def test_agreement_is_about_chance_for_places_at_random(monkeypatch):
    words = list(placements.second_placement())
    places = [placements.second_placement()[word] for word in sorted(words, key=lambda w: w[::-1])]
    monkeypatch.setattr(
        placements, "second_placement", lambda: dict(zip(words, places, strict=True))
    )
    assert all(abs(value) < 0.1 for value in placements.agreement().values())


def labels_of(path: Path) -> list[str]:
    """As the benchmark reads them."""
    script = Path(__file__).parents[3] / "benchmarks" / "word_list.py"
    return list(runpy.run_path(str(script))["labels_of"](path))


def test_labels_are_read_from_each_form_of_file(tmp_path):
    for name, text, expected in (
        ("meld.csv", "Utterance,Emotion,Sentiment\nHi,joy,positive\n", ["joy", "positive"]),
        ("open.csv", "name,openset\na,\"['sad', 'at ease']\"\n", ["sad", "at ease"]),
        ("task.json", '{"output": "joy, anger"}\n', ["joy", "anger"]),
        ("rows.jsonl", '{"labels": {"emotions": ["glad"]}}\n', ["glad"]),
    ):
        path = tmp_path / name
        path.write_text(text)
        assert labels_of(path) == expected
    path.write_text('{"labels": {}}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl"):
        labels_of(path)


@needs_reference
def test_the_list_has_nearly_all_labels_of_the_field():
    assert FOLDER is not None
    cases = load("emotion_wheel_cases.json")
    sets = {"cases": [x for case in cases["cases"] for x in (*case["gt"], *case["pred"])]}
    real = FOLDER.parent / "real"  # people's annotations, where they lie beside it
    files = [*real.glob("meld/*.csv"), *real.glob("aeb/goemotion*.json"), *real.glob("*/*openset*")]
    for name, labels in (sets | {path.name: labels_of(path) for path in files}).items():
        found = own.coverage(labels)
        assert found.labels > 0, name
        assert found.found >= 0.97 * found.labels, (name, found.lacking)
