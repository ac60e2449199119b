"""The report in headless Chromium: it is drawn, and it asks for nothing from anywhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from PIL import Image

from affect_mllm.eval.report.page import write_report
from tests.browser import CHROMIUM, needs_browser
from tests.eval.runs import make_run

pytestmark = needs_browser
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=2000",
]  # fmt: skip
# What the browser asks for by itself, whatever the page.
ITS_OWN = ("google.com", "googleapis.com", "gvt1.com", "gstatic.com")


def opened(page: Path, folder: Path, *more: str) -> tuple[str, set[str]]:
    """What Chromium prints about a page, and the hosts that it tried to reach for it."""
    log = folder / "net.json"
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", *more]
    done = subprocess.run(
        [*command, f"--log-net-log={log}", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    events = json.loads(log.read_text())["events"]
    urls = {str(event.get("params", {}).get("url", "")) for event in events}
    hosts = {urlparse(url).hostname or "" for url in urls}
    return done.stdout, {h for h in hosts if h and not h.endswith(ITS_OWN)}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    run = make_run(root)
    return write_report([run, run], root / "report.html")


def test_it_is_drawn_and_asks_for_nothing(page, tmp_path) -> None:
    shot = tmp_path / "shot.png"
    _, hosts = opened(page, tmp_path, f"--screenshot={shot}", "--window-size=1200,2400")
    assert not hosts
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    bar = np.array([0x22, 0x57, 0xC5])  # the colour of the main bars
    assert (np.abs(pixels.astype(int) - bar).max(1) < 3).sum() > 500


def test_its_parts_are_there_when_it_is_open(page, tmp_path) -> None:
    dom, _ = opened(page, tmp_path, "--dump-dom")
    for part in ("All runs", "Confusion of", "families of emotion", "Training", "card clip"):
        assert part in dom
    assert "data:image/jpeg;base64," in dom


def test_a_page_that_does_ask_is_found_out(tmp_path) -> None:
    asking = tmp_path / "asking.html"
    asking.write_text('<img src="http://elsewhere.example/x.png">')
    _, hosts = opened(asking, tmp_path, "--dump-dom")
    assert "elsewhere.example" in hosts
