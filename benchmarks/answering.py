"""A clip of 10 s: `predict` with its loading, and a server that is asked about it again.

    python benchmarks/answering.py [--quick] [--checkpoint CHECKPOINT]

Without a checkpoint the model is the demo's after 30 steps on this clip, whose answers are a word;
one that describes takes longer. In every round `predict` is a process of its own, with the usual
questions and with the one that the server is asked; the server starts, and answers that question
twice. Times are the clock's. Needs `affect-mllm assets` and `pip install 'affect-mllm[serve]'`.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from measured import Row, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from affect_mllm.data import manifest
from affect_mllm.tools.pipeline import LONGEST
from affect_mllm.train.main import main as train
from affect_mllm.types import Sample
from tests.media import clips

RUN = "import sys; from affect_mllm.tools.app import main; main(sys.argv[1:])"
QUESTION = "Which emotion does the person express?"
CUES = ("visual_cues", "vocal_cues", "verbal_cues", "description")
STEPS = 30
LOADED_S = 300  # after which a server that does not answer has failed


def main(
    quick: Annotated[bool, typer.Option(help="One round of three.")] = False,
    checkpoint: Annotated[str, typer.Option(help="none: trained on the clip")] = "",
) -> None:
    """Print one line a way of asking."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = clips.make_video(folder / "clip.mp4", frames=250, size=(640, 360), sound_s=10.0)
        model = checkpoint or _trained(folder, clip)
        rounds = [_round(model, clip) for _ in range(1 if quick else 3)]
    for title in rounds[0]:
        seconds = [each[title] for each in rounds]
        print(f"{title:36} {median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")
    whole, again = "`predict`, one question", "server, second request"
    ratios = [each[again] / each[whole] for each in rounds]
    report([Row.of("a server's second request of a clip of 10 s", whole, ratios, "lower")])
    print(f"{again} ÷ {whole}: {median(ratios):.2f}   wanted: at most 0.33")


def _trained(folder: Path, clip: Path) -> str:
    labels = {"emotion": "happy", "emotions": ["happy"], **dict.fromkeys(CUES, "raised brows")}
    row = {"subtitle": "what is said", "split": "train", "labels": labels}
    rows = [Sample(str(number), folder, {"video": clip.name}, **row) for number in range(2)]
    manifest.write(rows, folder / "manifest.jsonl")
    given = {
        "data.manifest": folder / "manifest.jsonl",
        "data.cache_dir": folder / "features",
        "run_dir": folder / "run",
        "stages.instruct.steps": STEPS,
        "stages.instruct.batch_size": 4,
    }
    alone = ["experiment=demo", "~stages.align", "~stages.emotion"]
    train([*alone, *(f"{key}={value}" for key, value in given.items())])
    return str(folder / "run/instruct/final")


def _round(checkpoint: str, clip: Path) -> dict[str, float]:
    asked = ["predict", str(clip), "--checkpoint", checkpoint]
    found = {
        "`predict`, the usual questions": _command_s(asked),
        "`predict`, one question": _command_s([*asked, "--question", QUESTION]),
    }
    port = _free_port()
    words = ["serve", checkpoint, "--port", str(port), "--name", "measured"]
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen([sys.executable, "-c", RUN, *words], stdout=said, stderr=said)
        try:
            began = time.perf_counter()
            _wait_for(f"http://127.0.0.1:{port}/health", server)
            found["server, until it answers"] = time.perf_counter() - began
            found["server, first request"] = _request_s(port, clip)
            found["server, second request"] = _request_s(port, clip)
        finally:
            server.terminate()
            server.wait()
    return found


def _command_s(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", RUN, *words], check=True, capture_output=True)
    return time.perf_counter() - began


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.perf_counter() + LOADED_S
    while time.perf_counter() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    sys.exit(f"the server did not answer at {url} (exit code {server.poll()})")


def _request_s(port: int, clip: Path) -> float:
    data = base64.b64encode(clip.read_bytes()).decode()
    content: list[dict[str, Any]] = [
        {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}},
        {"type": "text", "text": QUESTION},
    ]
    body = {"messages": [{"role": "user", "content": content}], "model": "measured"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=json.dumps({**body, "max_tokens": LONGEST}).encode(),
        headers={"Content-Type": "application/json"},
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=LOADED_S) as reply:
        json.load(reply)
    return time.perf_counter() - began


if __name__ == "__main__":
    typer.run(main)
