"""`affect-mllm probe` on real small clips with tiny encoders: table, page and predictions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from affect_mllm.data import manifest
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.tools.app import main

SPEAKERS = 3


@pytest.fixture(scope="module")
def probed(tiny, tmp_path_factory):
    """A manifest of the tiny clips with two labels and speakers, and the encoders' YAML files."""
    folder = tmp_path_factory.mktemp("probe")
    rows = [
        replace(
            sample,
            speaker=f"s{number % SPEAKERS}",
            labels={**sample.labels, "emotion": "happy" if number % 2 else "sad",
                    "arousal": number / 20},
        )
        for number, sample in enumerate(tiny.samples)
    ]  # fmt: skip
    manifest.write(rows, folder / "rows.jsonl", media_root=tiny.root)
    for name, node in tiny.cfg.model.encoders.items():
        from omegaconf import OmegaConf

        plain = OmegaConf.to_container(node, resolve=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(plain))
    return folder


def said(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as left:
        main(["probe", *map(str, arguments)])
    found = capsys.readouterr()
    assert left.value.code == 0, found.err
    return found.out


def test_every_layer_of_both_encoders_words_and_all_together(probed, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    said(capsys, probed / "rows.jsonl", "--audio", probed / "audio.yaml", "--vision",
         probed / "visual.yaml", "--look-at", "frame", "--pool", "mean,max",
         "--out", out)  # fmt: skip
    told = json.loads((out / "probe.json").read_text())
    assert (told["across"], told["groups"], told["folds"]) == ("speaker", SPEAKERS, SPEAKERS)
    layers = {
        s: {r["layer"] for r in told["rows"] if r["source"] == s} for s in ("audio", "visual")
    }
    assert layers["audio"] == {"0", "1", "2"}, "what enters the first of two layers, and both"
    assert "last" in layers["visual"]
    assert {r["pool"] for r in told["rows"] if r["source"] == "audio"} == {"mean", "max"}
    assert told["rows"][-1]["source"] == "audio + visual + words"
    heard = [
        row for row in manifest.read(probed / "rows.jsonl") if {"audio", "video"} & {*row.media}
    ]
    assert next(r["n"] for r in told["rows"] if r["source"] == "audio") <= len(heard)
    page = (out / "probe.html").read_text()
    assert page.count("<figure>") == 2
    assert "://" not in page
    answers = read_predictions(out / "audio.predictions.jsonl")
    assert {answer.response for answer in answers} <= {"happy", "sad"}
    assert {answer.checkpoint for answer in answers} == {"probe-audio"}


def test_numbers_one_layer_and_a_table(probed, capsys) -> None:
    table = said(capsys, probed / "rows.jsonl", "--label", "arousal", "--audio",
                 probed / "audio.yaml", "--layers", "1", "--no-words")  # fmt: skip
    lines = table.splitlines()
    assert lines[0] == "arousal, across 3 speakers, 3 folds"
    assert "pearson" in lines[1]
    assert [line.split()[:4] for line in lines[3:]] == [
        ["audio,", "mean", "1", "linear"],
        ["audio,", "mean", "1", "knn"],
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--layers", "9", "--audio", "audio.yaml"], "['0', '1', '2']"),
        (["--pool", "median"], "some of mean, mean+std, max"),
        (["--by", "group"], "some rows have none"),
        (["--label", "valence"], "no row of one clip with labels.valence"),
        (["--no-words"], "--audio whisper_base"),
        (["--audio", "no_such_encoder"], "no_such_encoder"),
    ],
)
def test_what_cannot_be_done_is_said(probed, capsys, monkeypatch, given, words) -> None:
    monkeypatch.chdir(probed)
    with pytest.raises(SystemExit) as left:
        main(["probe", "rows.jsonl", *given])
    assert left.value.code
    assert words in " ".join(capsys.readouterr().err.split())
