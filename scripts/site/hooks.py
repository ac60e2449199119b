"""What mkdocs calls while it builds the site (`hooks:` in mkdocs.yml)."""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from scripts.site.errors import errors
from scripts.site.keys import keys
from scripts.site.links import linked, place, rewritten, shown

MADE = {"reference/keys.md": keys, "reference/errors.md": errors}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The site's files with those of the project that its pages link to, and that these link to."""
    pages = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    for name, make in MADE.items():
        files.append(File.generated(config, name, content=make()))
    while pages:
        found = {path for page, text in pages.items() for path in linked(text, page)}
        new = sorted(path for path in found if place(path) not in files.src_uris)
        pages = {path: shown(path) for path in new}
        for path, text in pages.items():
            made = rewritten(text, path) if path.endswith(".md") else text
            files.append(
                File.generated(
                    config, place(path), content=made, inclusion=InclusionLevel.NOT_IN_NAV
                )
            )
        pages = {path: text for path, text in pages.items() if path.endswith(".md")}
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text with links that hold on the site; those of made pages hold already."""
    del config, files
    if page.file.generated_by:
        return markdown
    return rewritten(markdown, f"docs/{page.file.src_uri}")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page as HTML, with the strokes that a table's code needs to escape as they are meant."""
    del page, config, files
    return re.sub(r"<code>[^<]*</code>", lambda code: code[0].replace("\\|", "|"), html)
