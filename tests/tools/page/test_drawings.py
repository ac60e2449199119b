"""The page's drawings alone: places on the wheel, bars, gates, colours, and escaped texts."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from affect_mllm.data.reader import Clip
from affect_mllm.eval.emotion_wheel.own import own_tables, roots
from affect_mllm.tools.page import gates, palette, wheel
from affect_mllm.tools.page.looked import Looked
from affect_mllm.tools.page.panel import answer_of, findings_of, problem_box
from affect_mllm.tools.page.pictures import what_was_read
from affect_mllm.tools.page.shares import shares_list
from affect_mllm.tools.page.turn import Told, emotions_in
from affect_mllm.tools.seen import Seen
from affect_mllm.types import Sample

# Machado, Oliveira and Fernandes 2009, severity 1: what each kind of vision makes of linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
DIFFERENT = 10.0  # CIEDE2000; about 2.3 is a difference that is just seen
SHARES = {"happy": 0.5, "furious": 0.25, "sad": 0.15, "neutral": 0.06, "flummoxed-ish": 0.04}


def seen_as(colours: list[str], kind: str) -> np.ndarray:
    """CIELAB `[N, 3]` of `#rrggbb` in a kind of vision."""
    rgb = np.array([[int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(VISION[kind]).T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("kind", VISION)
def test_any_two_colours_of_a_palette_differ_in_every_kind_of_vision(kind: str) -> None:
    for colours in ([*palette.PETALS.values()], [*palette.EXPERTS]):
        lab = seen_as(colours, kind)
        for (a, one), (b, other) in itertools.combinations(zip(colours, lab, strict=True), 2):
            assert deltaE_ciede2000(one, other) > DIFFERENT, (a, b)


def test_colours_that_a_colour_blind_reader_confuses_are_found_out() -> None:
    pair = ["#b00000", "#4a4a00"]
    assert deltaE_ciede2000(*seen_as(pair, "normal")) > 3 * DIFFERENT
    assert deltaE_ciede2000(*seen_as(pair, "protanopia")) < DIFFERENT


def test_the_wheel_has_the_petals_and_branches_of_the_tables() -> None:
    table = roots()[wheel.WHEEL]
    assert set(wheel.places()) == set(table)
    assert {place.petal for place in wheel.places().values()} == {*palette.PETALS, wheel.MIDDLE}
    assert {b: place.petal for b, place in wheel.places().items()} == table
    drawn = wheel.wheel({})
    assert set(re.findall("<title>(.*?)</title>", drawn)) == {
        branch for branch, petal in table.items() if petal != wheel.MIDDLE
    }


def dots(drawn: str) -> dict[str, tuple[float, float, float]]:
    """What stands in it → x, y, radius of every dot."""
    svg = ElementTree.fromstring(drawn)
    found = {}
    for group in svg.findall("g[@class='dot']"):
        circle = group.findall("circle")[-1]
        found[str(group.findtext("text"))] = tuple(
            float(circle.attrib[key]) for key in ("cx", "cy", "r")
        )
    return found


def test_a_dot_is_in_its_labels_petal_and_ring_and_grows_with_its_share() -> None:
    found = dots(wheel.wheel(SHARES))
    assert set(found) == {*"1234"}, "what our tables do not have is not on the wheel"
    tables = own_tables()
    for number, label in enumerate([*SHARES][:4], start=1):
        x, y, _ = found[str(number)]
        away = math.dist((x, y), wheel.CENTRE)
        place = wheel.place_of(label)
        assert place is not None
        assert place.petal == tables.classes(label)[tables.maps.index("plutchik_level1")]
        if place.is_middle:
            assert away < wheel.CORE
            continue
        assert (
            wheel.CORE + wheel.RING * place.ring < away < wheel.CORE + wheel.RING * (place.ring + 1)
        )
        turn = (math.degrees(math.atan2(y - wheel.CENTRE[1], x - wheel.CENTRE[0])) + 90) % 360
        assert round(turn / 45) % 8 == [*palette.PETALS].index(place.petal)
    sizes = [found[number][2] for number in "1234"]
    assert sizes == sorted(sizes, reverse=True)


def test_labels_of_one_place_do_not_lie_upon_each_other() -> None:
    found = dots(wheel.wheel({"joy": 0.1, "happy": 0.1, "glad": 0.1}))
    places = {wheel.place_of(each) for each in ("joy", "happy", "glad")}
    assert len(found) == 3
    if len(places) == 1:
        for (ax, ay, ar), (bx, by, br) in itertools.combinations(found.values(), 2):
            assert math.dist((ax, ay), (bx, by)) > 0.5 * (ar + br)


def test_what_the_answer_says_is_ringed_and_marked() -> None:
    assert wheel.wheel(SHARES, named=("sad",)).count('class="said"') == 1
    assert wheel.wheel(SHARES).count('class="said"') == 0
    rows = shares_list(SHARES, named=("sad",))
    assert rows.count("answered") == 1
    assert rows.count("not on the wheel") == 1


def test_a_label_is_said_however_it_is_capitalised() -> None:
    named = emotions_in("Happy")
    assert wheel.marks({"Happy": 0.6}, named) == {"Happy": wheel.Mark("1", 0.6, True)}
    assert "answered" not in str(wheel.wheel({"Happy": 0.6}, named=named))


def test_words_that_only_the_answer_says_stand_beside_the_labels() -> None:
    named = ("happy", "hopeful", "flummoxed")
    found = dots(wheel.wheel({"happy": 1.0}, named=named))
    assert set(found) == {"1", "a"}, "b has no place"
    assert found["a"][2] == wheel.LEAST
    rows = shares_list({"happy": 1.0}, named=named)
    assert [re.sub("<.*?>", "", row) for row in re.findall("<li>(.*?)</li>", rows)] == [
        "a hopeful answered",
        "b flummoxed answered, not on the wheel",
    ]
    alone = findings_of(Told("hopeful", named=("hopeful",), is_finished=True))
    assert set(dots(re.findall("<svg.*?</svg>", alone)[0])) == {"a"}


def test_bars_are_as_wide_as_shares_and_marked_where_they_were() -> None:
    rows = shares_list({"happy": 0.25, "sad": 0.75}, before={"happy": 0.5, "sad": 0.5})
    assert re.findall(r'<b style="width:([\d.]+)%', rows) == ["25.00", "75.00"]
    assert re.findall(r'class="before" style="left:([\d.]+)%', rows) == ["50.00", "50.00"]
    assert "50.0% → 25.0%" in rows
    assert "before" not in shares_list({"happy": 1.0})


def test_gates_share_a_bar_by_their_weights() -> None:
    drawn = gates.gate_bars({"face": {"general": 0.7, "emotion": 0.3}, "audio": {"general": 1.0}})
    assert re.findall(r"width:([\d.]+)%", drawn) == ["70.00", "30.00", "100.00"]
    assert "emotion 30.0%" in drawn
    assert gates.gate_bars({}) == gates.NONE


def test_no_text_of_a_user_or_a_model_becomes_markup() -> None:
    evil = "<script>alert(1)</script>"
    told = Told(
        evil, (evil,), {evil: {evil: 1.0}}, named=(evil,), shares={evil: 1.0}, is_finished=True
    )
    seen = Seen(Sample(evil, Path(), {"video": evil}), Clip({}, (evil,)))
    pages = [answer_of(told), findings_of(told), findings_of(replace(told, problem=evil)),
             problem_box(evil), what_was_read(Looked(seen, {}, None))]  # fmt: skip
    assert all("&lt;script&gt;" in page and "<script" not in page for page in pages)


def test_an_answer_grows_and_findings_come_with_its_end() -> None:
    assert "…" in answer_of(Told())
    assert findings_of(Told("hap")) == ""
    ended = Told("happy", ("face", "text"), shares={"happy": 1.0}, is_finished=True)
    assert "Answered from pictures, words." in answer_of(ended)
    assert 'data-label="happy"' in findings_of(ended)
    assert "no such thing" in findings_of(replace(ended, shares={}, problem="no such thing"))


def test_the_waveform_says_how_long_the_sound_is() -> None:
    seen = Seen(Sample("x", Path(), {"audio": "x.wav"}), Clip({}))
    sound = np.sin(np.arange(24_000) / 10).astype(np.float32)
    shown = what_was_read(Looked(seen, {}, sound))
    assert "1.50 s" in shown
    assert "<polygon" in shown
    assert "Voice" not in what_was_read(Looked(seen, {}, None))
