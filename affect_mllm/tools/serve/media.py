"""A request's media as files: out of base64, or fetched from a host that is admitted."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from affect_mllm.tools.serve.body import AudioPart, ImagePart, MediaPart, SoundPart, Url, UrlPart
from affect_mllm.tools.serve.bounds import MIB, Bounds
from affect_mllm.tools.serve.refusal import Refusal
from affect_mllm.types import ConfigError, DataError

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+=-]+)*;base64,")
_FETCH_S = 30.0


class Medium(NamedTuple):
    """A file, and what a manifest calls its kind."""

    kind: str
    path: Path


def written(part: MediaPart, stem: str, folder: Path, bounds: Bounds) -> Medium:
    """The part's medium as a file `stem` of `folder`.

    Raises ConfigError for a URL that is not opened, DataError for what is no medium of its kind
    or too long, Refusal (413) for one that is too large.
    """
    if isinstance(part, SoundPart):
        kind, ending = "audio", "." + re.sub(r"\W", "", part.input_audio.format)
        data = _decoded(part.input_audio.data, stem)
    else:
        kind, url = _where(part)
        data, ending = _content(url.url, stem, bounds)
    path = folder / f"{stem}{ending}"
    path.write_bytes(data)
    _check(kind, path, bounds)
    return Medium(kind, path)


def _where(part: UrlPart) -> tuple[str, Url]:
    if isinstance(part, ImagePart):
        return "image", part.image_url
    return ("audio", part.audio_url) if isinstance(part, AudioPart) else ("video", part.video_url)


def _check(kind: str, path: Path, bounds: Bounds) -> None:
    from affect_mllm.media.video import probe

    found = probe(path)
    if found.kind != kind:
        raise DataError(str(path), f"a file of kind {found.kind}", expected=kind)
    if found.duration_s is not None and found.duration_s > bounds.clip_s:
        raise DataError(
            str(path), f"{found.duration_s:.0f} s", expected=f"at most {bounds.clip_s:.0f} s"
        )


def _content(url: str, stem: str, bounds: Bounds) -> tuple[bytes, str]:
    """What is behind a URL, and the ending of its kind of file."""
    if found := _DATA.match(url):
        ending = mimetypes.guess_extension(found[1] or "") or ""
        return _decoded(url[found.end() :], stem), ending
    parts = urlsplit(url) if not url.startswith("data:") else None
    if parts is None or parts.scheme not in ("http", "https") or parts.hostname not in bounds.hosts:
        raise ConfigError(
            stem,
            url[:80],
            expected="data:TYPE;base64,…"
            + "".join(f", or a file of {host}" for host in bounds.hosts),
            fix="send the file itself, or serve with --media-host HOST",
        )
    return _fetched(url, bounds), Path(parts.path).suffix


def _decoded(text: str, stem: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(stem, str(error), expected="a file in base64") from error


def _fetched(url: str, bounds: Bounds) -> bytes:
    """No redirect is followed: the host that it leads to is not the one that was admitted."""
    import httpx

    try:
        with httpx.stream("GET", url, follow_redirects=False, timeout=_FETCH_S) as reply:
            if reply.status_code != 200:
                raise DataError(url, f"HTTP {reply.status_code}", expected="200, a file")
            return b"".join(_bounded(reply.iter_bytes(), url, bounds))
    except httpx.HTTPError as error:
        raise DataError(url, f"{type(error).__name__}: {error}", expected="a file") from error


def _bounded(pieces: Iterator[bytes], url: str, bounds: Bounds) -> Iterator[bytes]:
    left = bounds.upload_bytes
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise too_large(url, bounds)
        yield piece


def too_large(what: str, bounds: Bounds) -> Refusal:
    """What is said of too many bytes."""
    return Refusal(413, f"{what}: more than {bounds.upload_bytes / MIB:g} MiB", code="too_large")
