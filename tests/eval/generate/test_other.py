"""Another VLM beside the checkpoint: the same pictures, words and rows, by folder or server."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from affect_mllm.data.reader import Reader
from affect_mllm.eval.chat import Reply
from affect_mllm.eval.generate.endpoint import EndpointModel
from affect_mllm.eval.generate.hf import HF
from affect_mllm.eval.generate.other import OtherAsker
from affect_mllm.eval.generate.parts import Sound, Turn
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View
from affect_mllm.eval.main import main
from affect_mllm.eval.report.page import write_report
from affect_mllm.models.decoding import Repeat, TokenSampling
from affect_mllm.types import CheckpointError, ConfigError, Sample
from tests import tiny_vlm
from tests.eval.report.test_browser import needs_browser, opened
from tests.eval.server import served

QUESTION = Question("Which emotion?")


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    return tiny_vlm.with_chat(tiny, tmp_path_factory.mktemp("vlm"))


def reader(tiny) -> Reader:
    return tiny.data.reader


def frames(tiny) -> np.ndarray:
    """What our own encoders would get of the first clip."""
    found = reader(tiny).read(tiny.samples[0], {"frame": np.asarray}).arrays["frame"]
    assert isinstance(found, np.ndarray)
    return found


def asker(tiny, vlm) -> OtherAsker:
    return OtherAsker(vlm, reader(tiny), "Look.", max_new_tokens=6)


class Watcher:
    """Answers everything alike and keeps what it was shown."""

    name, films = "watcher", False

    def __init__(self, *, sees: bool = True, hears: bool = False) -> None:
        self.sees, self.hears = sees, hears
        self.turns: list[Turn] = []

    def identity(self) -> dict[str, str]:
        return {}

    def generate(self, turns, *, system, max_new_tokens, drawn=None) -> list[Reply]:
        self.turns += turns
        self.system = system
        return [Reply("happy", "stop")] * len(turns)


def test_it_gets_the_frames_that_our_own_encoders_get(tiny) -> None:
    vlm = Watcher()
    found = list(asker(tiny, vlm).answer(tiny.samples[:3], QUESTION))
    assert [row["id"] for row in found] == ["c00", "c01", "c02"]
    own = frames(tiny)
    turn = vlm.turns[0]
    assert np.array_equal(np.stack(turn.pictures), own)
    assert turn.text == "Subtitle: sentence 0\nWhich emotion?"
    assert vlm.system == "Look."
    assert found[0]["modalities"] == ["frame", "text"]
    assert found[2]["modalities"] == ["text"], "c02 is a sound, which a VLM does not hear"


def test_one_that_hears_gets_the_sound_that_our_own_encoders_get(tiny) -> None:
    both, deaf, blind = Watcher(hears=True), Watcher(), Watcher(sees=False, hears=True)
    rows = tiny.samples[:3]
    found = {r["id"]: r["modalities"] for r in asker(tiny, both).answer(rows, QUESTION)}
    assert found == {
        "c00": ["frame", "audio", "text"],
        "c01": found["c01"],
        "c02": ["audio", "text"],
    }
    own = np.asarray(reader(tiny).read(rows[0], {"audio": np.asarray}).arrays["audio"])
    *pictures, sound, words = both.turns[0].parts
    assert all(isinstance(part, np.ndarray) for part in pictures)
    assert isinstance(sound, Sound)
    assert (sound.wave.dtype, sound.wave.ndim) == (np.float32, 1)
    assert np.array_equal(sound.wave, own), "16 kHz, as our encoders' transforms get it"
    assert isinstance(words, str)
    list(asker(tiny, deaf).answer(rows, QUESTION))
    assert not any(turn.sounds for turn in deaf.turns)
    list(asker(tiny, blind).answer(rows, QUESTION))
    assert not any(turn.pictures for turn in blind.turns)
    assert len(blind.turns[0].sounds) == 1
    list(
        asker(tiny, muted := Watcher(hears=True)).answer(rows[:1], QUESTION, View(("face", "text")))
    )
    assert not muted.turns[0].sounds, "the view has no sound"


def test_what_a_model_does_not_take_is_refused(tiny) -> None:
    sound = Sample("s", tiny.root, {"audio": "clips/c02.wav"})
    for model, view, name in (
        (Watcher(), View(("audio",)), "audio, which watcher cannot hear"),
        (Watcher(sees=False), View(("face", "audio")), "cannot see or hear"),
        (Watcher(sees=False, hears=True), View(("face",)), "face, which watcher cannot see"),
    ):
        with pytest.raises(ConfigError, match=name):
            list(asker(tiny, model).answer([sound], QUESTION, view))
    (row,) = asker(tiny, Watcher()).answer([sound], QUESTION)
    assert (row["response"], row["modalities"]) == ("", [])
    assert "no picture, no sound" in row["unseen"]


def test_a_blip_is_no_sound(tiny, tmp_path) -> None:
    import wave

    for name, samples in (("blip", 400), ("short", 9600)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(np.full(samples, 1000, np.int16).tobytes())
    rows = [
        Sample(name, tmp_path, {"audio": f"{name}.wav"}, subtitle="Oh")
        for name in ("blip", "short")
    ]
    found = asker(tiny, Watcher(hears=True)).answer(rows, QUESTION)
    assert {r["id"]: r["modalities"] for r in found} == {
        "blip": ["text"],
        "short": ["audio", "text"],
    }


def test_encoder_states_of_ours_are_not_shown_to_another_model(tiny, tmp_path) -> None:
    np.save(tmp_path / "states.npy", np.ones((3, 4), np.float32))
    media = {
        "audio": str(tiny.root / "clips/c02.wav"),
        "features.audio": str(tmp_path / "states.npy"),
    }
    list(
        asker(tiny, watcher := Watcher(hears=True)).answer(
            [Sample("s", tiny.root, media)], QUESTION
        )
    )
    assert watcher.turns[0].sounds[0].wave.ndim == 1


def test_batches_do_not_change_its_answers(tiny, folder) -> None:
    rows = tiny.samples[:5]
    answers = [
        {r["id"]: r["response"] for r in asker(tiny, vlm).answer(rows, QUESTION)}
        for vlm in (HF(str(folder), "float32", 1), HF(str(folder), "float32", 3))
    ]
    assert answers[0] == answers[1]
    assert len(set(answers[0].values())) > 1, "pictures and words must matter"


def test_its_answer_is_transformers_own(tiny, folder) -> None:
    """The same conversation through apply_chat_template, tokenized in one go."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    sample = tiny.samples[0]
    images = frames(tiny)
    said = next(iter(asker(tiny, HF(str(folder), "float32")).answer([sample], QUESTION)))
    processor = AutoProcessor.from_pretrained(folder)
    net: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    content = [{"type": "image", "image": Image.fromarray(image)} for image in images]
    content.append({"type": "text", "text": f"Subtitle: {sample.subtitle}\n{QUESTION.text}"})
    chat = [
        {"role": "system", "content": [{"type": "text", "text": "Look."}]},
        {"role": "user", "content": content},
    ]
    given = processor.apply_chat_template(
        [chat], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        ids = net.generate(**given, do_sample=False, max_new_tokens=6)
    new = ids[:, given["input_ids"].shape[1] :]
    assert said["response"] == processor.batch_decode(new, skip_special_tokens=True)[0].strip()


def test_a_first_token_that_the_template_writes_is_not_doubled(
    folder, tmp_path, monkeypatch
) -> None:
    """As of Gemma, whose tokenizer would put it before every text."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoProcessor

    processor: Any = AutoProcessor.from_pretrained(folder)
    first = "<|im_start|>"
    first_id = processor.tokenizer.convert_tokens_to_ids(first)
    processor.tokenizer.bos_token = first
    processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A", special_tokens=[(first, first_id)]
    )
    made = shutil.copytree(folder, tmp_path / "first")
    processor.save_pretrained(made)
    vlm = HF(str(made), "float32")
    assert vlm._parts()["processor"].tokenizer("x")["input_ids"][0] == first_id
    net, seen = vlm._parts()["net"], []
    generate = net.generate

    def watched(**given):
        seen.append(given)
        return generate(**given)

    monkeypatch.setattr(net, "generate", watched)
    vlm.generate([Turn(("Which?",))], system="Look.", max_new_tokens=2)
    ids = seen[0]["input_ids"][0].tolist()
    assert ids[0] == first_id
    assert ids[1] != first_id


def test_an_answer_says_whether_the_limit_cut_it_off(tiny, folder, monkeypatch) -> None:
    """Of a model that ends with one token or with several, as its generation_config has it."""
    vlm = HF(str(folder), "float32")
    one = replace(asker(tiny, vlm), max_new_tokens=6)
    net, generate, written = vlm._parts()["net"], vlm._parts()["net"].generate, []

    def watched(**given):
        ids = generate(**given)
        written.append(ids[:, given["input_ids"].shape[1] :])
        return ids

    monkeypatch.setattr(net, "generate", watched)
    (row,) = one.answer(tiny.samples[:1], QUESTION)
    assert row["finish_reason"] == "length"
    said = written[0][0].tolist()
    end = next(token for token in said[1:] if said.index(token) > 0)
    for ends in (end, [next(i for i in range(9) if i not in said), end]):
        net.generation_config.eos_token_id = ends
        (row,) = one.answer(tiny.samples[:1], QUESTION)
        assert row["finish_reason"] == "stop"
        assert written[-1][0].tolist() == said[: said.index(end) + 1]


def test_drawn_answers_are_the_rows_own(tiny, folder) -> None:
    rows = tiny.samples[:5]
    repeats = [Repeat(TokenSampling(temperature=3.0), number) for number in (1, 2)]

    def said(repeat: Repeat | None, batch: int, chunk: int = 32) -> dict[str, str]:
        one = asker(tiny, HF(str(folder), "float32", batch))
        found = replace(one, repeat=repeat, chunk=chunk).answer(rows, QUESTION)
        return {row["id"]: row["response"] for row in found}

    first = said(repeats[0], 5)
    assert said(repeats[0], 1) == said(repeats[0], 2, chunk=3) == first
    assert said(repeats[1], 5) != first
    assert said(None, 5) not in (first, said(repeats[1], 5))


def test_rows_of_one_batch_say_what_it_took_together(tiny, folder) -> None:
    found = list(asker(tiny, HF(str(folder), "float32", 2)).answer(tiny.samples[:3], QUESTION))
    took = [row["took"] for row in found]
    assert [each["batch_rows"] for each in took] == [2, 2, 1]
    assert took[0] == took[1]
    assert all(each["batch_seconds"] > 0 for each in took)
    assert not [row for row in found if "seconds" in row], "no row's own time is known"


def test_a_server_is_asked_with_each_rows_seed_and_says_how_it_ended(tiny) -> None:
    from affect_mllm.eval.predictions import Prediction
    from affect_mllm.eval.score.one_answer import is_cut_off

    def say(body, number):
        return 200, "it is rather"

    sampling = TokenSampling(temperature=0.9, top_p=0.8, seed=3)
    with served(say, finish_reason="length") as seen:
        greedy = asker(tiny, EndpointModel(seen.url, "served", workers=1))
        plain = list(greedy.answer(tiny.samples[:2], QUESTION))
        for number in (1, 2):
            list(
                replace(greedy, repeat=Repeat(sampling, number)).answer(tiny.samples[:2], QUESTION)
            )
    assert [row["finish_reason"] for row in plain] == ["length", "length"]
    assert is_cut_off(Prediction("a", finish_reason=plain[0]["finish_reason"]))
    how = [(r["temperature"], r.get("top_p"), r["seed"]) for r in seen.requests]
    assert how[:2] == [(0, None, 0)] * 2
    assert {each[:2] for each in how[2:]} == {(0.9, 0.8)}
    assert len({each[2] for each in how[2:]}) == 4, "a seed for each row and repeat"


def test_views_and_rows_of_which_nothing_is_left(tiny) -> None:
    rows = [*tiny.samples[:1], Sample("s", tiny.root, {"audio": "clips/c02.wav"})]
    found = list(asker(tiny, Watcher()).answer(rows, QUESTION, View(("face",))))
    assert {r["id"]: r["modalities"] for r in found} == {"c00": ["frame"], "s": []}
    empty = next(r for r in found if r["id"] == "s")
    assert (empty["response"], "no picture" in empty["unseen"]) == ("", True)


def test_the_stamp_tells_model_words_and_reader(tiny) -> None:
    one = asker(tiny, EndpointModel("http://x", "org/model"))
    vlms = [
        one.model,
        EndpointModel("http://y", "org/model"),
        EndpointModel("http://x", "other/model"),
        HF("org/model"),
        HF("other/model"),
        HF("org/model", "float32"),
    ]
    stamps = [replace(one, model=vlm).stamp(Question("a"))["checkpoint"] for vlm in vlms]
    assert len(set(stamps)) == len(vlms), "another server, owner or data type is another model"
    assert all(stamp.startswith("model-") for stamp in stamps)
    others = [
        one.stamp(Question("b")),
        replace(one, system="Listen.").stamp(Question("a")),
        replace(
            one, reader=replace(one.reader, sampling=replace(one.reader.sampling, frames=7))
        ).stamp(Question("a")),
    ]
    hashes = {stamp["prompt_hash"] for stamp in (one.stamp(Question("a")), *others)}
    assert len(hashes) == 4


def test_a_server_gets_the_pictures_without_loss(tiny) -> None:
    with served(lambda _b, _n: (200, " sad ")) as seen:
        vlm = EndpointModel(seen.url, "served")
        found = list(asker(tiny, vlm).answer(tiny.samples[:1], QUESTION))
    assert found[0]["response"] == "sad"
    system, user = seen.requests[0]["messages"]
    assert system["content"] == "Look."
    *pictures, text = user["content"]
    data = [base64.b64decode(p["image_url"]["url"].split(",")[1]) for p in pictures]
    own = frames(tiny)
    assert np.array_equal(np.stack([np.asarray(Image.open(io.BytesIO(d))) for d in data]), own)
    assert text["text"].endswith(QUESTION.text)


def test_a_server_without_an_answer_costs_the_row(tiny, monkeypatch) -> None:
    from affect_mllm.eval import chat

    monkeypatch.setattr(chat.time, "sleep", lambda _s: None)
    with served(lambda _b, _n: (503, "busy")) as seen:
        vlm = EndpointModel(seen.url, "served")
        (row,) = asker(tiny, vlm).answer(tiny.samples[:1], QUESTION)
    assert "HTTP 503" in row["error"]
    assert row["response"] == ""


def test_a_folder_that_is_no_vlm_is_refused(tiny) -> None:
    vlm = HF(str(tiny.root / "llm"))
    with pytest.raises(CheckpointError, match="pictures or sounds"):
        list(asker(tiny, vlm).answer(tiny.samples[:1], QUESTION))


def test_an_evaluation_shows_both_side_by_side(tiny, tiny_run, folder, tmp_path) -> None:
    given = [
        f"checkpoint={tiny_run / 'instruct/final'}",
        f"run_dir={tmp_path}",
        "max_new_tokens=4",
        "baseline=hf",
        f"baseline.model={folder}",
        "baseline.dtype=float32",
    ]
    assert main(given) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    summary = results["runs"]["synthetic"]
    name = f"baseline-{HF(str(folder), 'float32').name}"
    identity = results["info"]["baseline"]["model"]
    assert identity == {"kind": "hf", "model": str(folder), "dtype": "float32"}
    assert name in summary["variants"]
    assert name in {entry["other"] for entry in summary["comparisons"]}


@pytest.fixture(scope="module")
def three_kinds(tiny, tiny_run, folder, tmp_path_factory) -> Path:
    """A run of three kinds of benchmark by a tiny checkpoint and a VLM, the first by eval.py."""
    root = tmp_path_factory.mktemp("kinds")
    shutil.copytree(tiny.root / "clips", root / "clips")
    rows = [json.loads(line) for line in (tiny.root / "manifest.jsonl").read_text().splitlines()]
    for row in rows:
        row["split"] = "test"
        row["labels"] |= {
            "emotions": [row["labels"]["emotion"]],
            "question": "Which emotion?",
            "question_type": "What/How",
            "options": {"A": "happy", "B": "sad"},
            "answer": "A",
        }
    (root / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:6]))
    given = [
        *(f"checkpoint={tiny_run / 'instruct/final'}", f"manifest={root / 'manifest.jsonl'}"),
        *(f"run_dir={root / 'run'}", f"cache_dir={root / 'features'}", "max_new_tokens=4"),
        *("baseline=hf", f"baseline.model={folder}", "baseline.dtype=float32"),
    ]
    command = [sys.executable, "eval.py", "benchmark=synthetic", *given]
    subprocess.run(command, cwd=Path(__file__).parents[3], check=True)
    for benchmark in ("ov_merd_plus", "eemo_bench_perception"):
        assert main([f"benchmark={benchmark}", *given]) == 0
    return root / "run"


def test_three_kinds_of_benchmark_stand_side_by_side(three_kinds) -> None:
    runs = json.loads((three_kinds / "results.json").read_text())["runs"]
    kinds = {name: summary["task"]["kind"] for name, summary in runs.items()}
    assert kinds == {
        "synthetic": "closed_label",
        "ov_merd_plus": "open_vocabulary",
        "eemo_bench_perception": "multiple_choice",
    }
    for summary in runs.values():
        ours = summary["variants"][summary["reference"]]
        (theirs,) = (v for n, v in summary["variants"].items() if n.startswith("baseline-"))
        assert ours["n"] == theirs["n"] == 6
        assert ours["checkpoint"] != theirs["checkpoint"]
        assert ours["metrics"].keys() == theirs["metrics"].keys()


@needs_browser
def test_the_report_of_both_opens(three_kinds, tmp_path) -> None:
    page = write_report([three_kinds], tmp_path / "report.html")
    dom, hosts = opened(page, tmp_path, "--dump-dom")
    assert not hosts
    for name in ("synthetic", "ov_merd_plus", "eemo_bench_perception"):
        assert re.search(rf"<h2 id=\"r1-{name}\">", dom)
    assert dom.count('<th scope="row">baseline-') >= 3
    assert "A. happy\nB. sad" in dom, "a clip shows the question as it was asked"
    assert "{options}" not in dom.partition("Clips</h2>")[2]
