"""CITATION.cff has what its format asks for (https://citation-file-format.github.io, 1.2.0)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_required_fields_are_there_and_agree_with_the_package() -> None:
    given = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert given["cff-version"] == "1.2.0"
    assert all(isinstance(given[key], str) and given[key] for key in ("message", "title"))
    # A person has parts of a name, an entity has a name.
    assert given["authors"]
    assert all(
        {"name"} <= each.keys() or {"family-names"} <= each.keys() for each in given["authors"]
    )
    assert given["type"] in ("software", "dataset")
    assert given["license"] == project["license"]
    assert given["title"].startswith(project["name"].replace("-", "_"))
    allowed = {"cff-version", "message", "type", "title", "abstract", "authors", "license"}
    assert given.keys() <= allowed | {
        "keywords",
        "version",
        "date-released",
        "repository-code",
        "url",
        "doi",
    }
