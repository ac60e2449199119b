"""The labels of a manifest, from the file beside it or else from its rows.

`NAME.jsonl.labels.json` says them, and of what rows: the hash of the manifest is in it. Of a
manifest without such a file the labels with a meaning of their own (`label_space.KNOWN`) are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from affect_mllm.data import manifest as manifests
from affect_mllm.data.label_space import KNOWN, Label, LabelSpace, described, kind_of, sidecar
from affect_mllm.data.media_root import put
from affect_mllm.data.row_checks import LABEL_RANGES
from affect_mllm.types import DataError

_AGAIN = "make the manifest again, or delete this file: then the rows' own labels are taken"


def read(manifest: Path) -> LabelSpace:
    """The labels of a manifest, those of the file beside it or else found in the rows.

    DataError for a manifest that changed since that file was written, or that has no label.
    """
    path = sidecar(manifest)
    if not path.is_file():
        return _found(manifest)
    try:
        said = json.loads(path.read_bytes())
        labels = TypeAdapter(LabelSpace).validate_python(said["labels"])
        whose = said["manifest_sha256"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(str(path), f"cannot be read: {error}", fix=_AGAIN) from error
    if whose != manifests.digest(manifest):
        raise DataError(str(path), "of other rows: the manifest was changed since", fix=_AGAIN)
    return labels


def write(manifest: Path, labels: Mapping[str, Label]) -> Path:
    """Write the file beside a manifest that is there; returns its path."""
    content = {
        "manifest_sha256": manifests.digest(manifest),
        "labels": {key: asdict(label) for key, label in labels.items()},
    }
    path = sidecar(manifest)
    put(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")
    return path


def _found(manifest: Path) -> LabelSpace:
    values: dict[str, list[tuple[str, Any]]] = {key: [] for key in KNOWN}
    for sample in manifests.read(manifest, media=False):
        for key, found in values.items():
            if key in sample.labels:
                found.append((sample.split or "", sample.labels[key]))
    labels = {}
    for key, found in values.items():
        kind = KNOWN[key] or (kind_of([value for _, value in found]) if found else None)
        if found and kind is not None:
            labels[key] = described(kind, found, scale=LABEL_RANGES.get(key))
    if not labels:
        raise DataError(
            str(manifest), "no labels", expected=f"rows with some of {', '.join(KNOWN)}"
        )
    return labels
