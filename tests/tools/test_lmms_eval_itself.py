"""The real lmms-eval asks a checkpoint a task of its own, installed beside us as the docs say."""

from __future__ import annotations

import json
import re
import shlex
import site
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import affect_mllm
from tests.tools.serve.served import NAME, served

ROOT = Path(__file__).parents[2]
COLOURS = ("red", "blue", "green")
TASK = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_messages: !function shown.messages
doc_to_visual: !function shown.pictures
doc_to_text: question
doc_to_target: colour
generation_kwargs: {{max_new_tokens: 8, do_sample: false, until: ["no such words"]}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: [{{version: 0.0}}]
"""
SHOWN = """
from PIL import Image


def pictures(row):
    return [Image.open(row["picture"]).convert("RGB")]


def messages(row):
    parts = [{"type": "image", "url": pictures(row)[0]}, {"type": "text", "text": row["question"]}]
    return [{"role": "user", "content": parts}]
"""


def documented() -> list[str]:
    """The commands of docs/evaluation.md that install and start lmms-eval."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/evaluation.md").read_text(), re.S)
    ((block),) = [each for each in blocks if "lmms_eval" in each]
    return [line.split("     #")[0].strip() for line in block.splitlines()]


@pytest.fixture(scope="module")
def beside(tmp_path_factory) -> Path:
    """The bin/ of an environment that sees this one and has lmms-eval as well."""
    folder = tmp_path_factory.mktemp("lmms") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    paths = (Path(affect_mllm.__file__).parents[1], *site.getsitepackages())
    (here,) = folder.glob("lib/*/site-packages")
    (here / "ours.pth").write_text("\n".join(map(str, paths)))
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    ours, theirs = documented()[:2]
    assert ours == "pip install -e '.[lmms]'"
    for given in (extra["lmms"], shlex.split(theirs)[2:]):
        subprocess.run([folder / "bin/pip", "install", "-q", *given], check=True)
    return folder / "bin"


def task(folder: Path) -> list[dict[str, str]]:
    """Write a task about three pictures; its rows."""
    rows = []
    for colour in COLOURS:
        Image.new("RGB", (64, 48), colour).save(folder / f"{colour}.png")
        row = {"picture": str(folder / f"{colour}.png"), "question": f"Is it {colour}?"}
        rows.append(row | {"colour": colour})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "colours.yaml").write_text(TASK.format(folder=folder))
    (folder / "shown.py").write_text(SHOWN)
    return rows


def answers(beside: Path, folder: Path, line: str) -> dict[int, str]:
    """What a command line of lmms-eval gets for the task in `folder`, by row."""
    options = ["--include_path", str(folder), "--output_path", str(folder / "out")]
    done = subprocess.run(
        [str(beside / "python"), *line.split()[1:], *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [*folder.glob("out/**/*_samples_colours.jsonl")]
    # lmms-eval says what went wrong and ends with 0.
    assert len(found) == 1, done.stdout[-3000:] + done.stderr[-6000:]
    asked = [json.loads(text) for text in found[0].read_text().splitlines()]
    return {each["doc_id"]: each["filtered_resps"] for each in asked}


def own_answers(checkpoint: Path, rows: list[dict[str, str]]) -> dict[int, str]:
    model = affect_mllm.load(checkpoint)
    found = [model.ask([row["picture"]], row["question"], max_new_tokens=8)[0] for row in rows]
    return {number: answer.text.strip() for number, answer in enumerate(found)}


def test_a_local_task_is_asked_and_answered_as_in_python(beside, tiny_run, tmp_path) -> None:
    rows, checkpoint = task(tmp_path), tiny_run / "instruct/final"
    line = documented()[2].replace("--tasks pope", "--tasks colours")
    found = answers(beside, tmp_path, line.replace("DIR", str(checkpoint)))
    assert found == own_answers(checkpoint, rows)


def test_its_client_of_openais_asks_a_served_checkpoint(beside, tiny_run, tmp_path) -> None:
    rows, checkpoint = task(tmp_path), tiny_run / "instruct/final"
    with served(checkpoint) as server:
        told = f"model_version={NAME},base_url={server.url},api_key=none,timeout=600"
        line = f"python -m lmms_eval --model openai --model_args {told} --tasks colours"
        found = answers(beside, tmp_path, f"{line} --batch_size 1 --log_samples")
    assert found == own_answers(checkpoint, rows)
