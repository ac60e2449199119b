"""Known vulnerabilities of what the image installs, asked of PyPI: `python scripts/audit.py`.

Leaves with pip-audit's exit code; with 2 and one line where PyPI's interface does not answer, since
pip-audit would then say of the first package that it is not there.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "docker/constraints.txt"
API = "https://pypi.org/pypi/pip/24.0/json"  # of one version, as pip-audit asks for each
# --strict: a package that could not be looked up is no package without a finding.
OPTIONS = ("--no-deps", "--disable-pip", "--strict")


def unanswered() -> str:
    """Why PyPI cannot be asked from here; empty where it answers."""
    try:
        with urllib.request.urlopen(API, timeout=20):
            return ""
    except OSError as error:
        return f"{API} does not answer ({error})"


def main() -> int:
    """Ask, and say what is known; the exit code."""
    if reason := unanswered():
        print(f"nothing was looked up: {reason}; run it where it does", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), *OPTIONS]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
