"""One message of a run of many processes, whichever of them has it."""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import timedelta

WAIT_S = 5.0


def say(message: str) -> None:
    """Print to stderr, once for all processes of a launcher that say the same.

    They agree through the launcher's own store (torchrun's, and so accelerate's), which is there
    before and after the process group. Without one, each speaks for itself: no message is lost.
    """
    store = _launchers_store()
    if store is None:
        print(message, file=sys.stderr)
        return
    key = "affect_mllm/said/" + hashlib.sha256(message.encode()).hexdigest()
    if store.add(key, 1) == 1:
        print(message, file=sys.stderr, flush=True)
        store.set(f"{key}/done", "")
        return
    # The launcher ends all processes once one has left: not before the message is out.
    try:
        store.wait([f"{key}/done"], timedelta(seconds=WAIT_S))
    except RuntimeError:  # torch's DistStoreError: who spoke is gone
        print(message, file=sys.stderr)


def _launchers_store():  # noqa: ANN202  (torch is imported only where there are several processes)
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    from torch.distributed import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        return TCPStore(
            host, port, is_master=False, timeout=timedelta(seconds=WAIT_S), wait_for_workers=False
        )
    except RuntimeError:
        return None
