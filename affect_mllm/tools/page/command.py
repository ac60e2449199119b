"""`affect-mllm demo`: try a checkpoint, or two, on a page in the browser."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from affect_mllm.log import LOGGER, working
from affect_mllm.tools.options import Plugins, finite
from affect_mllm.tools.predict import DEFAULT
from affect_mllm.types import ConfigError

HOST, PORT = "127.0.0.1", 7860


def demo_command(
    checkpoint: Annotated[
        str, typer.Argument(help="folder of a finished checkpoint, or its repository on the Hub")
    ] = DEFAULT,
    *,
    beside: Annotated[str | None, typer.Option(help="another one, asked the same")] = None,
    host: Annotated[str, typer.Option(help="the address to listen at")] = HOST,
    port: Annotated[int, typer.Option(help="0 takes any free one", min=0, max=65535)] = PORT,
    max_upload: Annotated[float, typer.Option(help="MiB of a file", min=0)] = 64,
    max_seconds: Annotated[float, typer.Option(help="of a clip", min=0)] = 120,
    plugins: Plugins = None,
) -> None:
    """A page on this machine: upload or record a clip, ask, take modalities away."""
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError("demo", "Gradio is not installed", fix="pip install 'affect-mllm[page]'")
    if beside is not None and beside == checkpoint:
        raise ConfigError("--beside", beside, expected="another checkpoint than the first")
    from affect_mllm.tools.page.bounds import Bounds

    bounds = Bounds(finite(max_upload, "--max-upload"), finite(max_seconds, "--max-seconds"))
    with working("starting the page"):
        from affect_mllm.tools.page.server import private_folder, serve
        from affect_mllm.tools.page.sessions import Sessions
        from affect_mllm.tools.pipeline import load
        from affect_mllm.tools.serve.server import bound, origin_of

    with private_folder(), bound(host, port) as at:
        names = [checkpoint, *([beside] if beside else [])]
        with working(f"loading {' and '.join(names)}"):
            models = {name: load(name, plugins=plugins or ()) for name in names}
        LOGGER.info("%s (Ctrl-C ends it)", origin_of(at))
        serve(Sessions(models, bounds), at)
