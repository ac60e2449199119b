"""The synthetic corpus: its design, its streams, its ceilings against an oracle, its command."""

import json
import re
import sys
from dataclasses import astuple
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from affect_mllm.data.senses import clauses, speaks_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "data_recipes"))

import synthetic  # noqa: E402
from synthetic_parts import build, clip, cues, design, looks, oracle, voice, wording  # noqa: E402

SIZES = {"train": 1050, "val": 105, "test": 364, "conflict": 126}
SMALL = {"train": 7, "val": 7, "test": 7, "conflict": 0}
NAMES = re.compile(
    r"\b(happ[yi]|sad|ang(ry|er)|surpris|fear|disgust|neutral|afraid|scared|furious|joy|terrif)",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def clips():
    return design.plan(SIZES, seed=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "corpus"
    return out, command(out)


def command(out, *extra):
    sizes = [part for name, size in SMALL.items() for part in (f"--{name}", str(size))]
    return CliRunner().invoke(synthetic.APP, ["--out", str(out), *sizes, "--jobs", "1", *extra])


def rows(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def decode(path):
    import av

    with av.open(str(path)) as media:
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in media.decode(video=0)])
    with av.open(str(path)) as media:
        sound = np.concatenate([f.to_ndarray() for f in media.decode(audio=0)], axis=1)
    return pictures, sound


def cue_vector(spec, modality):
    if modality == "face":
        return list(looks.apex(spec.face).values())
    if modality == "audio":
        return list(astuple(voice.prosody(spec.voice)))
    return [10.0 * (spec.wording.group == group) for group in design.groups("text")]


def of(clips, split):
    return [spec for spec in clips if spec.split == split]


def test_each_modality_has_five_groups_and_counts_are_as_asked(clips):
    assert all(len(design.groups(m)) == 5 for m in design.MODALITIES)
    for split, size in SIZES.items():
        emotions = [spec.emotion for spec in of(clips, split)]
        assert {emotions.count(e) for e in design.CLASSES} == {size // 7}
    assert len({spec.id for spec in clips}) == sum(SIZES.values())


@pytest.mark.parametrize("subset", oracle.subsets(), ids="+".join)
def test_oracle_on_cue_parameters_meets_the_stated_ceiling(clips, subset):
    def table(split):
        chosen = of(clips, split)
        x = np.array([[c for m in subset for c in cue_vector(s, m)] for s in chosen])
        return x, [s.emotion for s in chosen]

    (x, y), (x_test, y_test) = table("train"), table("test")
    scale = StandardScaler().fit(x)
    nearest = KNeighborsClassifier(9).fit(scale.transform(x), y)
    accuracy = nearest.score(scale.transform(x_test), y_test)
    ceiling = oracle.ceilings(y_test)["+".join(subset)]
    assert ceiling == pytest.approx({1: 5 / 7, 2: 6 / 7, 3: 1.0}[len(subset)])
    assert ceiling - 0.02 <= accuracy <= ceiling + 1e-9


def test_identities_voices_and_sentences_are_disjoint_between_pools(clips):
    for kind in (
        lambda s: s.face.identity,
        lambda s: s.voice.voice,
        lambda s: s.voice.words,
        lambda s: s.wording.text,
    ):
        found = {split: {kind(s) for s in of(clips, split)} for split in ("train", "val", "test")}
        found["test"] |= {kind(s) for s in of(clips, "conflict")}
        assert not found["train"] & found["val"]
        assert not found["train"] & found["test"]
        assert not found["val"] & found["test"]


def test_sentence_parts_are_disjoint_between_pools_and_groups():
    seen = [
        part
        for group in design.groups("text")
        for pool in wording.POOLS
        for kind in wording.parts(group, pool)
        for part in kind
    ]
    assert len(seen) == len(set(seen)) > 250


def test_pseudo_words_are_shared_by_no_two_pools():
    pools = [set(design.pseudo_words(pool, 1)) for pool in design.VOICES]
    assert all(len(pool) > 80 for pool in pools)
    assert not pools[0] & pools[1] | pools[0] & pools[2] | pools[1] & pools[2]


def test_no_sentence_names_an_emotion(clips):
    for group in design.groups("text"):
        for pool in wording.POOLS:
            assert not [s for s in wording.sentences(group, pool) if NAMES.search(s)]
    for spec in clips:
        found = cues.labels(spec)
        for kind in ("visual_cues", "vocal_cues", "verbal_cues"):
            assert not NAMES.search(found[kind])
            assert len(found[kind].split()) <= 14
            assert found[kind] in found["description"]
        assert found["description"].rstrip(".").endswith(spec.emotion)


def test_sentences_about_a_sense_are_known_as_such(clips):
    for spec in clips[::10]:
        found = cues.labels(spec)
        heard, seen = found["vocal_cues"], found["visual_cues"]
        assert " ".join(heard[a:b] for a, b in clauses(heard, "audio")) == heard
        assert " ".join(seen[a:b] for a, b in clauses(seen, "face")) == seen
        for sense, text in (("face", heard), ("audio", seen)):
            assert not speaks_of(text, sense)
            assert not speaks_of(found["verbal_cues"], sense)


def test_labels_are_in_range_and_open_words_name_the_class(clips):
    for spec in clips:
        found = cues.labels(spec)
        assert 0 <= found["intensity"] <= 1
        assert abs(found["valence"]) <= 1
        assert abs(found["arousal"]) <= 1
        assert found["emotions"][0] == spec.emotion
        assert 2 <= len(found["emotions"]) == len(set(found["emotions"])) <= 4


def test_twins_share_two_streams_and_differ_in_the_third(clips):
    differs = {"angry disgust": "wording", "fear surprise": "voice", "neutral sad": "face"}
    pairs = [list(g) for _, g in groupby(of(clips, "test"), key=lambda s: s.group)]
    twins = [pair for pair in pairs if len(pair) == 2]
    assert len(twins) == 3 * 52
    for first, second in twins:
        third = differs[" ".join(sorted((first.emotion, second.emotion)))]
        for stream in ("face", "voice", "wording"):
            assert (getattr(first, stream) == getattr(second, stream)) == (stream != third)


def test_conflict_parts_show_another_class_in_one_modality(clips):
    for spec in of(clips, "conflict"):
        shown = {"face": spec.face.group, "audio": spec.voice.group, "text": spec.wording.group}
        agree = {m for m in shown if shown[m] == design.group_of(m, spec.emotion)}
        expected = {
            "video_aligned": {"face", "text"},
            "audio_aligned": {"audio", "text"},
            "consistent": {"face", "audio", "text"},
        }[spec.conflict]
        assert agree == expected
        assert (spec.other is None) == (spec.conflict == "consistent")
    parts = [spec.conflict for spec in of(clips, "conflict")]
    assert [parts.count(part) for part in design.CONFLICT_PARTS] == [42, 42, 42]


def test_stated_conflict_ceilings_follow_from_the_two_modalities_that_agree(clips):
    stated = build.describe(clips, seed=1)["conflict_ceilings"]
    assert stated == pytest.approx(
        {"video_aligned": 6 / 7, "audio_aligned": 6 / 7, "consistent": 1.0}
    )


def test_the_mouth_and_face_know_nothing_of_voice_or_wording(clips):
    assert set(design.FaceSpec.__dataclass_fields__) == {"identity", "group", "strength", "seed"}
    first = of(clips, "test")[0].face
    again = clip.face.render(first, clip.key_times_s())[0]
    assert np.array_equal(again, clip.face_stream(first)[0])


def test_command_writes_real_clips_with_sound_and_boxes_inside(corpus):
    out, result = corpus
    assert result.exit_code == 0, result.output
    found = rows(out)
    assert len(found) == 21
    for row in found[::5]:
        pictures, sound = decode(out / row["video"])
        assert pictures.shape == (40, 256, 256, 3)
        assert abs(sound.shape[1] / 16000 - 3.2) < 0.1
        assert np.abs(sound).max() > 0.01
        for x, y, width, height in row["face_boxes"]:
            assert 0 <= x < x + width <= 256.05
            assert 0 <= y < y + height <= 256.05
        assert len(row["face_boxes"]) == len(row["face_times_s"])
        assert row["source"] == "synthetic"


def test_twins_decode_to_bit_identical_shared_streams(corpus):
    out, _ = corpus
    found = [row for row in rows(out) if row["split"] == "test"]
    checked = 0
    for _, group in groupby(found, key=lambda row: row["group"]):
        twins = list(group)
        if len(twins) == 1:
            continue
        (pictures, sound), (pictures2, sound2) = (decode(out / t["video"]) for t in twins)
        names = {t["labels"]["emotion"] for t in twins}
        same_face = not names & {"sad", "neutral"}
        same_voice = not names & {"fear", "surprise"}
        same_text = not names & {"angry", "disgust"}
        assert np.array_equal(pictures, pictures2) == same_face
        assert np.array_equal(sound, sound2) == same_voice
        assert (twins[0]["subtitle"] == twins[1]["subtitle"]) == same_text
        checked += 1
    assert checked == 3


def test_second_run_reuses_and_a_fresh_one_is_bit_identical(corpus, tmp_path):
    out, _ = corpus
    manifest = (out / "manifest.jsonl").read_bytes()
    again = command(out)
    assert again.exit_code == 0
    assert "re-using it" in again.stdout
    fresh = tmp_path / "fresh"
    assert command(fresh).exit_code == 0
    assert (fresh / "manifest.jsonl").read_bytes() == manifest
    assert (fresh / "corpus.json").read_bytes() == (out / "corpus.json").read_bytes()
    for path in sorted((out / "clips").iterdir()):
        assert (fresh / "clips" / path.name).read_bytes() == path.read_bytes()


def test_an_interrupted_run_makes_only_what_is_missing(corpus, tmp_path):
    out, _ = corpus
    half = tmp_path / "half"
    (half / "clips").mkdir(parents=True)
    kept = sorted((out / "clips").iterdir())[:19]
    for path in kept:
        (half / "clips" / path.name).write_bytes(path.read_bytes())
    (half / "clips" / "syn-val-00000.mp4.part").write_bytes(b"half a clip")
    (half / "plan.json").write_bytes((out / "plan.json").read_bytes())
    result = command(half)
    assert "re-using 19 clips" in result.stdout
    assert (half / "manifest.jsonl").read_bytes() == (out / "manifest.jsonl").read_bytes()


def test_another_seed_is_another_corpus(clips):
    other = design.plan(SIZES, seed=2)
    assert [s.id for s in other] == [s.id for s in clips]
    assert sum(a.wording == b.wording for a, b in zip(clips, other, strict=True)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--train", "10"), "a multiple of 7"), (("--conflict", "7"), "a multiple of 21")],
)
def test_a_size_that_does_not_divide_is_refused(tmp_path, arguments, message):
    result = command(tmp_path / "x", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_an_out_that_is_a_file_is_refused(tmp_path):
    target = tmp_path / "file"
    target.write_text("mine")
    result = command(target)
    assert result.exit_code == 2
    assert "is a file" in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert target.read_text() == "mine"
