"""`affect-mllm serve`: a checkpoint behind OpenAI's chat completions, on this machine."""

from __future__ import annotations

import importlib.util
import os
from contextlib import closing
from typing import Annotated

import typer

from affect_mllm.log import LOGGER, working
from affect_mllm.tools.options import Plugins, finite
from affect_mllm.tools.serve.bounds import Bounds, host_name
from affect_mllm.tools.serve.server import bound, is_loopback, run, url_of
from affect_mllm.tools.upload import MIB
from affect_mllm.types import ConfigError

KEY_ENV = "AFFECT_MLLM_API_KEY"
_OWN = Bounds()


def serve_command(
    checkpoint: Annotated[
        str, typer.Argument(help="Folder of a finished checkpoint, or its repository on the Hub.")
    ],
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8000,
    name: Annotated[
        str | None, typer.Option(help="What requests call the model.", show_default="CHECKPOINT")
    ] = None,
    key_env: Annotated[str, typer.Option(help="The variable that has the API key.")] = KEY_ENV,
    no_key: Annotated[
        bool, typer.Option("--no-key", help="Let everybody ask who reaches the host.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Requests asked together.", min=1)] = _OWN.batch,
    queue: Annotated[int, typer.Option(help="Requests at once.", min=1)] = _OWN.waiting,
    max_tokens: Annotated[int, typer.Option(help="Of an answer.", min=1)] = _OWN.max_tokens,
    max_upload: Annotated[int, typer.Option(help="MiB of a request.", min=1)] = (
        _OWN.upload_bytes // MIB
    ),
    max_seconds: Annotated[float, typer.Option(help="Of a clip.", min=0)] = _OWN.clip_s,
    media_host: Annotated[
        list[str] | None, typer.Option(help="A host whose URLs are fetched; again for each.")
    ] = None,
    plugins: Plugins = None,
) -> None:
    """Answer chat completions about text, pictures, sounds and clips."""
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError("serve", f"no {package}", fix="pip install 'affect-mllm[serve]'")
    key = None if no_key else os.environ.get(key_env) or None
    if key is None and not no_key and not is_loopback(host):
        raise ConfigError(
            f"--host {host}",
            f"no key in {key_env}, and others reach that host",
            expected="a key",
            fix=f"set {key_env}, or say --no-key",
        )
    bounds = Bounds(
        upload_bytes=max_upload * MIB,
        hosts=tuple(map(host_name, media_host or ())),
        waiting=queue,
        clip_s=finite(max_seconds, "--max-seconds"),
        max_tokens=max_tokens,
        batch=batch,
    )
    with bound(host, port) as made:
        with working(f"loading {checkpoint}"):
            from affect_mllm.tools.pipeline import load
            from affect_mllm.tools.serve.answerer import Answerer
            from affect_mllm.tools.serve.app import make_app
            from affect_mllm.tools.serve.service import Service

            pipeline = load(checkpoint, plugins=plugins or ())
        with closing(Service(Answerer(pipeline, name or checkpoint, bounds))) as service:
            app = make_app(service, key, made.getsockname()[0])
            LOGGER.info("serving %s at %s", name or checkpoint, url_of(made))
            run(app, made)
