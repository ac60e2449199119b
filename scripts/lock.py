"""Pins what the image installs: `python scripts/lock.py` writes docker/constraints.txt.

pip resolves the project with the extras of docker/Dockerfile; nothing is installed. The versions
are those that this machine's index has; they hold for its Python and platform.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "docker/constraints.txt"
OWN = "affect-mllm"


def extras() -> str:
    """The extras that the image has unless it is told otherwise, as `a,b`."""
    text = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG EXTRAS=(\S+)$", text, re.M)
    if found is None:
        raise ValueError("docker/Dockerfile: no line ARG EXTRAS=…")
    return found[1]


def resolved(wanted: str) -> list[tuple[str, str]]:
    """Name and version of every package that `pip install WANTED` would bring, by name."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    done = subprocess.run(
        [*command, "--quiet", "--report", "-", wanted],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = (each["metadata"] for each in json.loads(done.stdout)["install"])
    return sorted((each["name"].lower().replace("_", "-"), each["version"]) for each in found)


def written(pins: Sequence[tuple[str, str]]) -> str:
    """The file's text; the project itself is not pinned."""
    head = (
        "# What docker/Dockerfile installs, pinned; `make lock` makes it anew.\n"
        f"# Python {platform.python_version_tuple()[0]}.{platform.python_version_tuple()[1]}, "
        f"{platform.system()} {platform.machine()}, extras {extras()}\n"
    )
    return head + "".join(f"{name}=={version}\n" for name, version in pins if name != OWN)


if __name__ == "__main__":
    LOCK.write_text(written(resolved(f"{ROOT}[{extras()}]")), encoding="utf-8")
    print(f"wrote {LOCK}")
