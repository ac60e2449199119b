"""A socket and the process around it: bound before anything slow, stopped when all is answered."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Callable
from typing import Any

from affect_mllm.types import ConfigError

OWN_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")  # of this machine, for itself
GRACE_S = 300  # for answers that are on their way when the server is asked to stop


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at `host` and `port` (0: a free one): who connects from here on waits.

    ConfigError where that cannot be had; of two processes one gets it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, dualstack_ipv6=both)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(
            f"--host {host} --port {port}", str(error), expected="an address that is free"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names_of(host: str) -> list[str]:
    """What requests may call the server that listens at `host`: any name (`*`), unless only this
    machine reaches it. So no site can reach it from a browser here by a name of its own.
    """
    return [*OWN_NAMES, host] if is_loopback(host) else ["*"]


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
