"""A socket and the process around it: bound before anything slow, stopped when all is answered."""

from __future__ import annotations

import ipaddress
import signal
import socket
from typing import Any

from affect_mllm.types import ConfigError

GRACE_S = 300  # for answers that are on their way when the server is asked to stop


def bound(host: str, port: int) -> socket.socket:
    """A socket at `host` and `port` (0: a free one). ConfigError where that cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--host {host} --port {port}", str(error), expected="an address that is free"
        ) from error
    return made


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_of(made: socket.socket) -> str:
    """Where clients find it."""
    host, port = made.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def run(app: Any, made: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun; KeyboardInterrupt after SIGINT."""
    import uvicorn

    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S
    )
    # uvicorn raises the signal again when it is through: being asked to stop is no failure.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[made])
    finally:
        signal.signal(signal.SIGTERM, before)
