"""Runs the commands of a newcomer's pages on the demo's outputs, so that none fails there.

    make readme            # after `make demo`; about a quarter of an hour on two cores

They run as they are written, in a scratch folder with copies of the demo's outputs. What is
trained takes two steps a stage. What needs another's files, a large model or other machines is
listed in `LEFT`, with why, and parsed by `tests/test_readme_commands.py`, as all are.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("index", "own_clips", "overrides", "gpus")),
]
LEFT = {
    r"^make ": "sets up, or is a run of hours by itself",
    r"^\. ": "this process's environment is that already",
    r"--nproc_per_node 8": "eight GPUs",
    r"experiment=(affect_hybrid|emotion_qwen|affectgpt)\b": "configs of models of 7B from the Hub",
    r"^affect-mllm import ": "another project's checkpoint",
    r"MELD\.Raw": "a publisher's files",
    r"^(sbatch|kubectl|sky) ": "a cluster",
}
STEPS = ("align", "emotion", "instruct")


def commands(page: Path) -> Iterator[str]:
    """The commands of a page's bash blocks: comments off, continued lines joined, `&&` apart."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = line if "#" not in line else re.split(r"(?:^|\s)#\s", line)[0]
            yield from (part.strip() for part in words.split("&&") if part.strip())


def published(pages: Iterable[Path] = PAGES) -> list[str]:
    """The commands of these pages in their order, each once."""
    return list(dict.fromkeys(command for page in pages for command in commands(page)))


def left(command: str) -> str | None:
    """Why a command isn't run here; None for one that is."""
    return next((why for form, why in LEFT.items() if re.search(form, command)), None)


def shortened(command: str) -> str:
    """A training that takes two steps a stage; other commands as they are."""
    trains = re.search(r"train\.py\b.*experiment=(\w+)", command)
    if trains is None or "dry_run=true" in command:
        return command
    chosen = re.search(r"\bstage=(\w+)", command)
    stages = STEPS if trains[1] == "demo" else ("instruct",)
    given = re.sub(r" stages\.\w+\.steps=\d+", "", command)
    steps = [f"stages.{name}.steps=2" for name in stages if not chosen or name == chosen[1]]
    return " ".join([given, *steps])


def prepare(scratch: Path) -> None:
    """The demo's outputs, the project's folders, and clips of one's own as the pages have them."""
    demo = ROOT / "outputs" / "demo"
    if not (demo / "results.json").is_file():
        sys.exit(f"{demo}: not finished\n  to mend it: make demo")
    shutil.copytree(demo, scratch / "outputs" / "demo")
    for name in ("conf", "data_recipes", "train.py", "eval.py", "affect_mllm"):
        (scratch / name).symlink_to(ROOT / name)
    from affect_mllm.data import manifest
    from affect_mllm.media.sampling import Sampling
    from affect_mllm.media.video import read_frames

    rows = [row for row in manifest.read(demo / "corpus" / "manifest.jsonl") if row.media]
    videos = [row for row in rows if "video" in row.media][:40]
    shutil.copy(videos[0].path("video"), scratch / "clip.mp4")
    from PIL import Image

    frames = read_frames(videos[0].path("video"), Sampling(kind="uniform", frames=1))
    Image.fromarray(frames.images[0]).save(scratch / "photo.png")
    folder = scratch / "clips"
    folder.mkdir()
    lines = ["file,mood,stress,subtitle"]
    moods = {"sad": "焦虑", "neutral": "boredom"}  # words of one's own for the drawn ones
    for row in videos:
        shutil.copy(row.path("video"), folder / f"{row.id}.mp4")
        mood = moods.get(row.labels["emotion"], row.labels["emotion"])
        lines.append(f'{row.id}.mp4,{mood},{len(lines) % 11},"{row.subtitle or ""}"')
    (scratch / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Run them all; exit code 1 when any fails."""
    pages = [Path(name) for name in sys.argv[1:]] or PAGES
    bin_folder = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    env["PYTHONPATH"] = str(ROOT)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for command in published(pages):
            if why := left(command):
                print(f"left     {command}  ({why})", flush=True)
                continue
            begun, words = time.monotonic(), shlex.split(shortened(command))
            done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
            state = "ran" if done.returncode == 0 else "FAILED"
            print(f"{state:8} {command}  ({time.monotonic() - begun:.0f} s)", flush=True)
            if done.returncode:
                failed += 1
                print(done.stdout[-1000:] + done.stderr[-3000:], flush=True)
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
