"""A request's media as files: out of base64, or fetched from a host that is admitted."""

from __future__ import annotations

import asyncio
import base64
import binascii
import mimetypes
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from affect_mllm.tools.serve.body import AudioPart, ImagePart, MediaPart, SoundPart, Url, UrlPart
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.refusal import Refusal
from affect_mllm.tools.upload import MIB, looked_into
from affect_mllm.types import ConfigError, DataError

if TYPE_CHECKING:
    import httpx

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+=-]+)*;base64,")
_ENDING = re.compile(r"\.\w{1,16}")


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
    found = looked_into(path, bounds.clip_s)
    if found.kind != kind:
        raise DataError(str(path), f"a file of kind {found.kind}", expected=kind)


def _content(url: str, stem: str, bounds: Bounds) -> tuple[bytes, str]:
    """What is behind a URL, and the ending of its kind of file."""
    if found := _DATA.match(url):
        ending = mimetypes.guess_extension(found[1] or "") or ""
        return _decoded(url[found.end() :], stem), ending
    address = _admitted(url, stem, bounds)
    ending = Path(address.path).suffix
    data = asyncio.run(_fetched(address, bounds))
    return data, ending if _ENDING.fullmatch(ending) else ""


def _admitted(url: str, stem: str, bounds: Bounds) -> httpx.URL:
    """The URL as it is asked, so that none is admitted that leads elsewhere. ConfigError."""
    import httpx

    with suppress(httpx.InvalidURL):
        address = httpx.URL(url if not url.startswith("data:") else "")
        if address.scheme in ("http", "https") and address.host in bounds.hosts:
            return address
    hosts = "".join(f", or a file of {host}" for host in bounds.hosts)
    raise ConfigError(
        stem,
        url[:80],
        expected=f"data:TYPE;base64,…{hosts}",
        fix="send the file itself, or serve with --media-host HOST",
    )


def _decoded(text: str, stem: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(stem, str(error), expected="a file in base64") from error


async def _fetched(url: httpx.URL, bounds: Bounds) -> bytes:
    """No redirect is followed: the host that it leads to is not the one that was admitted."""
    import httpx

    try:
        async with (
            asyncio.timeout(bounds.fetch_s),
            httpx.AsyncClient(timeout=None) as client,
            client.stream("GET", url) as reply,
        ):
            if reply.status_code != 200:
                raise DataError(str(url), f"HTTP {reply.status_code}", expected="200, a file")
            return await _bounded(reply.aiter_bytes(), str(url), bounds)
    except TimeoutError as error:
        got, expected = "no whole file", f"one within {bounds.fetch_s:g} s"
        raise DataError(str(url), got, expected=expected) from error
    except httpx.HTTPError as error:
        raise DataError(str(url), f"{type(error).__name__}: {error}", expected="a file") from error


async def _bounded(pieces: AsyncIterator[bytes], url: str, bounds: Bounds) -> bytes:
    """The pieces in one. Refusal where there are too many."""
    got = bytearray()
    async for piece in pieces:
        got += piece
        if len(got) > bounds.upload_bytes:
            raise too_large(url, bounds)
    return bytes(got)


def too_large(what: str, bounds: Bounds) -> Refusal:
    """What is said of too many bytes."""
    return Refusal(413, f"{what}: more than {bounds.upload_bytes / MIB:g} MiB", code="too_large")
