"""Flags of the commands on services and routes."""

from typing import Annotated

import typer

from towonel.api.services import Kind

RouteKey = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="As lists show it: https:app.example.eu, tcp:2222; of a service also tcp:ssh, its name.",
        show_default=False,
    ),
]
OfKind = Annotated[Kind | None, typer.Option(help="Only of this kind.")]
