"""What asking holds does not grow with the rows: the peak of the real command, in processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from affect_mllm.train.main import main
from tests.media.clips import make_video
from tests.processes import DEADLINE_S, finished

CLIPS = int(os.environ.get("AFFECT_CLIPS", "160"))
FEWER = 10  # times
# Not ru_maxrss: it keeps what the process was forked from held before exec.
MEASURED = """
import contextlib, pathlib, sys, threading
from affect_mllm.eval.main import main

def most_kb(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)

workers, ended = [0], threading.Event()

def watch():
    while not ended.wait(0.02):
        for task in pathlib.Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                workers.extend(map(most_kb, (task / "children").read_text().split()))
        workers[:] = [max(workers)]

watching = threading.Thread(target=watch)
watching.start()
try:
    code = main(sys.argv[1:])
finally:
    ended.set()
    watching.join()
print(most_kb("self"), *workers, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def uncached(tiny, tmp_path_factory) -> Path:
    """A checkpoint that reads its clips each time."""
    folder = tmp_path_factory.mktemp("uncached")
    assert main(tiny.overrides(folder, "data.cache_dir=null", "stage=align")) == 0
    return folder / "align/final"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A folder with CLIPS clips, each a file of its own, and their manifests: all, and a tenth."""
    folder = tmp_path_factory.mktemp("clips")
    kinds = [make_video(folder / f"{n}.mp4", frames=n, sound_s=n / 25) for n in (8, 15, 25, 40)]
    found = []
    for number in range(CLIPS):
        (folder / f"c{number}.mp4").hardlink_to(kinds[number % len(kinds)])
        row = {"id": f"c{number}", "video": f"c{number}.mp4", "split": "test"}
        found.append(json.dumps(row | {"labels": {"emotion": "happy"}}) + "\n")
    for count in (CLIPS // FEWER, CLIPS):
        (folder / f"{count}.jsonl").write_text("".join(found[:count]))
    return folder


def peaks(checkpoint: Path, manifest: Path, folder: Path) -> tuple[float, float]:
    """The most that the process held, and the most that a worker of it did, in MB."""
    command = ["-c", MEASURED, f"checkpoint={checkpoint}", f"manifest={manifest}",
               f"run_dir={folder}", "max_new_tokens=4", "batch_size=4"]  # fmt: skip
    code, said = finished(command, deadline_s=10 * DEADLINE_S)
    assert code == 0, said
    assert json.loads((folder / "results.json").read_text())["n"] == int(manifest.stem)
    own, workers = said.splitlines()[-1].split()
    return int(own) / 1024, int(workers) / 1024


def test_the_peak_is_that_of_a_tenth_of_the_rows(uncached, clips, tmp_path) -> None:
    few, many = (peaks(uncached, clips / f"{count}.jsonl", tmp_path / str(count))
                 for count in (CLIPS // FEWER, CLIPS))  # fmt: skip
    print(f"{CLIPS // FEWER} and {CLIPS} clips: {few} and {many} MB")
    for name, less, more in zip(("asking", "a worker"), few, many, strict=True):
        assert more <= 1.1 * less, f"{name}: {more:.0f} MB instead of {less:.0f}"
