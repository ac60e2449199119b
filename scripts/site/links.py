"""Links of a page to files of the project outside docs/: the site has these as pages of its own."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Code is passed over: what looks like a link in it is none.
LINK = re.compile(
    r"^```.*?^```|`[^`]+`|\]\((?![a-z]+:)(?P<to>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)", re.M | re.S
)


def target(page: str, link: str) -> str:
    """The path in the project that a link of the page at `page` names; both from its root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def place(path: str) -> str:
    """Where the site has the project's file or folder: docs/ is its root, others under `files/`."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return f"files/{path}/index.md"
    return f"files/{path}" if path.endswith(".md") else f"files/{path}.md"


def rewritten(text: str, page: str) -> str:
    """The page's text with links that lead where the site has the same file."""

    def moved(match: re.Match[str]) -> str:
        if match["to"] is None:
            return match[0]
        there = place(target(page, match["to"]))
        link = posixpath.relpath(there, posixpath.dirname(place(page)))
        return f"]({link}{match['anchor'] or ''})"

    return LINK.sub(moved, text)


def linked(text: str, page: str) -> Iterator[str]:
    """The project's files and folders outside docs/ that the page links to."""
    for match in LINK.finditer(text):
        path = target(page, match["to"]) if match["to"] else ""
        if path and not path.startswith("docs/") and (ROOT / path).exists():
            yield path


def shown(path: str) -> str:
    """A file or folder of the project as Markdown; that of a page is its own, links not moved."""
    there = ROOT / path
    if there.is_dir():
        return f"# {path}/\n\n" + "\n".join(_entries(there)) + "\n"
    text = there.read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````{there.suffix[1:]}\n{text.rstrip()}\n````\n"


def _entries(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            about = next(
                (line for line in lines if line.startswith("# ") and "@package" not in line), ""
            )
            yield f"- `{path.name}`" + (f": {about[2:]}" if about else "")
