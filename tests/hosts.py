"""Two hosts on one machine: network namespaces with addresses of their own, joined by a cable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESSES = ("10.77.31.1", "10.77.31.2")


def lacks() -> str | None:
    """What keeps this machine from making network namespaces, or None."""
    if os.geteuid() != 0:
        return "needs root: network namespaces"
    if shutil.which("ip") is None:
        return "needs iproute2: network namespaces"
    name = f"probe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "needs the right to make network namespaces"
    _ip("netns", "delete", name)
    return None


@contextmanager
def two_hosts() -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Two (name, interface) pairs; host i has `ADDRESSES[i]` and sees nothing but the other."""
    hosts = [(f"host{i}x{os.getpid()}", f"v{i}x{os.getpid()}") for i in (0, 1)]
    try:
        for name, _ in hosts:
            _ip("netns", "add", name)
        _ip("link", "add", hosts[0][1], "type", "veth", "peer", "name", hosts[1][1])
        for (name, interface), address in zip(hosts, ADDRESSES, strict=True):
            _ip("link", "set", interface, "netns", name)
            _ip("-n", name, "address", "add", f"{address}/24", "dev", interface)
            for each in ("lo", interface):
                _ip("-n", name, "link", "set", each, "up")
        yield hosts[0], hosts[1]
    finally:
        for name, _ in hosts:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
