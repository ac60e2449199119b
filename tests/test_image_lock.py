"""docker/constraints.txt pins what the image needs, within pyproject.toml's ranges, and is used."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import audit, lock
from scripts.lock import LOCK, ROOT, extras, written

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
PINS = dict(line.split("==") for line in LINES)


def wanted() -> Iterator[Requirement]:
    """What the project asks for with the image's extras."""
    yield from map(Requirement, PROJECT["dependencies"])
    for extra in extras().split(","):
        yield from map(Requirement, PROJECT["optional-dependencies"][extra])


@pytest.mark.parametrize("requirement", [*wanted()], ids=str)
def test_what_is_asked_for_is_pinned_within_its_range(requirement: Requirement) -> None:
    pinned = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(Version(pinned), prereleases=True)


def test_each_package_is_pinned_once() -> None:
    names = [line.split("==")[0] for line in LINES]
    assert names == sorted({canonicalize_name(name) for name in names})
    assert lock.OWN not in names


def test_the_image_is_installed_by_it() -> None:
    text = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^COPY .*docker/constraints\.txt", text, re.M)
    installs = re.findall(r"pip install (.*\[\$\{EXTRAS\}\])", text)
    assert installs
    assert all("--constraint /tmp/project/constraints.txt" in each for each in installs)


def test_the_text_leaves_the_project_itself_out() -> None:
    text = written([("a", "1.0"), (lock.OWN, "0.1"), ("b-c", "2")])
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["a==1.0", "b-c==2"]


def test_the_bill_of_materials_names_every_pin(tmp_path: Path) -> None:
    """By the words of `make sbom`."""
    said = subprocess.run(
        ["make", "-n", "sbom"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    line = next(each for each in said.splitlines() if "cyclonedx-py" in each).split()
    words = [tmp_path / "sbom.json" if each.startswith("dist/") else each for each in line[1:]]
    command = [Path(sys.executable).parent / "cyclonedx-py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "sbom.json").read_text())
    assert made["bomFormat"] == "CycloneDX"
    assert {each["name"]: each["version"] for each in made["components"]} == PINS


def test_an_audit_that_reaches_nobody_says_so_in_a_line(monkeypatch, capfd) -> None:
    """A port of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(audit, "API", f"http://127.0.0.1:{taken.getsockname()[1]}/pip/json")
        assert audit.main() == 2
    said = capfd.readouterr().err
    assert said.startswith("nothing was looked up: http://127.0.0.1:")
    assert said.count("\n") == 1


def test_an_audit_asks_about_the_pinned_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(audit, "API", LOCK.as_uri())
    monkeypatch.setattr(subprocess, "run", run)
    assert audit.main() == 1, "something was found"
    assert asked[0][asked[0].index("--requirement") + 1] == str(LOCK)
