"""Options that several subcommands have."""

from __future__ import annotations

from typing import Annotated

import typer

Plugins = Annotated[
    list[str] | None,
    typer.Option(help="A package of yours whose classes the checkpoint names; again for each."),
]
