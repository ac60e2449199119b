"""A socket and the process around it: bound before anything slow, stopped when all is answered."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Callable
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
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except BaseException:
            made.close()
            raise
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


def origin_of(made: socket.socket) -> str:
    """The address that a browser opens."""
    host, port = made.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def url_of(made: socket.socket) -> str:
    """Where clients find it."""
    return f"{origin_of(made)}/v1"


def run(app: Any, made: socket.socket, *, stopping: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun; KeyboardInterrupt after SIGINT.

    `stopping` is called first of all then: it may end what would never end by itself.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            stopping()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S
    )
    # uvicorn raises the signal again when it is through: being asked to stop is no failure.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        Server(config).run(sockets=[made])
    finally:
        signal.signal(signal.SIGTERM, before)
