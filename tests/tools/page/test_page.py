"""`affect-mllm demo` as a process, asked in headless Chromium about real files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from urllib.parse import urlparse

import pytest

from affect_mllm.tools.app import main
from tests.browser import CHROMIUM, needs_browser
from tests.media import clips
from tests.processes import started

pytestmark = needs_browser
WAIT_MS = 240_000
ENDED = ""  # what the process says last
PHONE = {"width": 390, "height": 844}
READABLE = 4.5  # contrast of text to its ground: WCAG 2.2, 1.4.3
# The colour of each text of ours and what it stands on, as computed: the first ground that is
# not transparent.
COLOURS = """selectors => selectors.flatMap(each => [...document.querySelectorAll(each)]).map(e => {
  let ground = e;
  const opaque = n => !/rgba\\(.*, 0\\)|transparent/.test(getComputedStyle(n).backgroundColor);
  while (ground.parentElement && !opaque(ground)) ground = ground.parentElement;
  return [e.className || e.tagName, getComputedStyle(e).color,
          getComputedStyle(ground).backgroundColor];
})"""
TEXTS = [".privacy", ".answer p", ".used", ".legend", ".value", ".keys", "figcaption", ".notes li"]


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uploads")
    clips.make_video(folder / "clip.mp4", frames=30, sound_s=1.0)
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    (folder / "large.mp4").write_bytes(bytes(2 * 2**20))
    clips.make_video(folder / "long.mp4", frames=4 * clips.FPS)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Where the process makes its temporary files."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def said() -> Queue[str]:
    """The lines that the process prints, as they come."""
    return Queue()


def wait_for(said: Queue[str], form: str) -> re.Match[str]:
    """The first line yet to be read that has the form; Empty where none comes in time."""
    lines = iter(lambda: said.get(timeout=WAIT_MS / 1000), ENDED)
    return next(found for line in lines if (found := re.match(form, line)))


@pytest.fixture(scope="module")
def address(folder: Path, kept: Path, said: Queue[str]) -> Iterator[str]:
    """The page of a running process, which leaves nothing behind when it is told to stop."""
    command = ["-m", "affect_mllm.tools.app", "demo", str(folder), "--port", "0"]
    bounds = ["--max-upload", "1", "--max-seconds", "3"]
    with started([*command, *bounds], TMPDIR=str(kept)) as process:
        stderr = process.stderr
        assert stderr is not None
        listening = Thread(target=lambda: [said.put(line) for line in chain(stderr, [ENDED])])
        listening.start()
        yield wait_for(said, r"(http://127\.0\.0\.1:\d+) ")[1]
        process.terminate()
        assert process.wait(60) == 0
        listening.join()
    assert not [*kept.iterdir()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        made = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


def opened(browser: Any, address: str, **how: Any) -> tuple[Any, list[str]]:
    """The page in a window of its own, and the addresses that it asks for as they come."""
    page = browser.new_context(**how).new_page()
    page.set_default_timeout(WAIT_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#ask")
    return page, asked


def upload(page: Any, path: Path) -> None:
    page.set_input_files("#file input[type=file]", path)


def answered(page: Any) -> None:
    page.click("#ask")
    page.wait_for_selector('.answer[data-finished="true"]')


def shares(page: Any) -> dict[str, float]:
    return {
        row.get_attribute("data-label"): float(row.get_attribute("data-share"))
        for row in page.query_selector_all(".shares li[data-label]")
    }


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(…)`, as WCAG 2.2 defines it."""
    parts = [float(each) / 255 for each in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def unreadable(page: Any) -> dict[str, float]:
    """Our texts whose contrast is too low, and what it is."""
    found = {}
    for name, ink, ground in page.evaluate(COLOURS, TEXTS):
        low, high = sorted((luminance(ink), luminance(ground)))
        found[name] = min(found.get(name, 99.0), (high + 0.05) / (low + 0.05))
    assert len(found) >= 5
    return {name: contrast for name, contrast in found.items() if contrast < READABLE}


def test_a_clip_is_asked_about_and_a_modality_taken_away(
    browser, address, media, kept, said
) -> None:
    page, asked = opened(browser, address)
    assert "article 5" in page.inner_text(".privacy")
    upload(page, media / "clip.mp4")
    page.wait_for_selector(".read")
    assert page.locator(".read img").count() == 2, "the tiny checkpoint looks at two frames"
    assert page.locator(".read .wave").count() == 1
    assert not files_in(kept), "the upload is deleted once it is read"
    answered(page)
    assert page.inner_text(".answer p").strip() not in ("", "…")
    assert "pictures, voice" in page.inner_text(".used")
    before = shares(page)
    assert sum(before.values()) == pytest.approx(1, abs=1e-4)
    assert {*page.locator(".wheel .dot text").all_text_contents()} >= {*"1234567"}
    assert len(before) == 7
    assert {*page.locator(".gates dt").all_inner_texts()} == {"frame", "audio", "multi"}
    page.get_by_label("Voice").uncheck()
    page.wait_for_selector(".shares .before")
    assert page.inner_text(".used") == "Answered from pictures."
    after = shares(page)
    assert after.keys() == before.keys()
    assert max(abs(after[label] - before[label]) for label in before) > 1e-3
    assert {urlparse(url).hostname for url in asked if urlparse(url).scheme != "data"} == {
        "127.0.0.1"
    }
    page.close()
    wait_for(said, "a page was closed")


def test_what_cannot_be_read_is_said_as_the_command_line_says_it(
    browser, address, media, folder, kept, monkeypatch, capsys
) -> None:
    page, _ = opened(browser, address)
    upload(page, media / "broken.mp4")
    page.wait_for_selector(".problem")
    monkeypatch.chdir(media)
    with pytest.raises(SystemExit):
        main(["predict", "broken.mp4", "--checkpoint", str(folder), "--question", "Which?"])
    assert page.inner_text(".problem").strip() == capsys.readouterr().err.strip()
    upload(page, media / "long.mp4")
    page.wait_for_function("() => document.querySelector('.problem')?.innerText.includes('3 s')")
    upload(page, media / "large.mp4")
    page.get_by_text("maximum allowed size of 1").wait_for()
    assert not files_in(kept)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read_in_light_and_dark(browser, address, media, scheme) -> None:
    page, _ = opened(browser, address, viewport=PHONE, color_scheme=scheme)
    upload(page, media / "clip.mp4")
    page.wait_for_selector(".read")
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.2) == (scheme == "dark")
    assert not unreadable(page)


def test_another_sites_name_for_this_machine_is_not_answered(address) -> None:
    import httpx

    assert httpx.get(address).status_code == 200
    assert httpx.get(address, headers={"Host": "elsewhere.example"}).status_code == 400
