"""What one request, and all of them together, may take of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from affect_mllm.tools.upload import MIB
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Bounds:
    """`upload_bytes` of a request's body, which comes within `upload_s` seconds, or of a file that
    is fetched from one of `hosts` within `fetch_s`; `waiting` requests at once, whatever is done
    with them; `parts` media in a request, `clip_s` seconds in each; `max_tokens` of an answer;
    `batch` requests are asked together.
    """

    upload_bytes: int = 64 * MIB
    upload_s: float = 60.0
    fetch_s: float = 30.0
    hosts: tuple[str, ...] = ()
    waiting: int = 64
    parts: int = 64
    clip_s: float = 600.0
    max_tokens: int = 1024
    batch: int = 8


def host_name(text: str) -> str:
    """A host as it stands in URLs that are compared. ConfigError for more than its name."""
    name = text.strip().strip("[]").lower()
    if not name or "/" in name or (":" in name and not _is_address(name)):
        raise ConfigError("--media-host", repr(text), expected="a host's name: no URL, no port")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
