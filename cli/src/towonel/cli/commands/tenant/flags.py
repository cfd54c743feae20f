"""Flags of the commands on one tenant."""

from typing import Annotated

import typer

from towonel.cli.errors import UsageError
from towonel.cli.options.ids import parse_hex_id

TenantArgument = Annotated[
    str | None, typer.Argument(metavar="TENANT", help="The tenant's id.", show_default=False)
]
TenantFlag = Annotated[
    str | None,
    typer.Option("--tenant-id", metavar="HEX", help="The same, as a flag.", show_default=False),
]


def parse_tenant_id(argument: str | None, flag: str | None) -> bytes:
    """Return the tenant's id, given once, as an argument or as a flag."""
    if (argument is None) == (flag is None):
        raise UsageError("TENANT: give a tenant's id, once")
    if flag is None:
        return parse_hex_id("TENANT", argument or "")
    return parse_hex_id("--tenant-id", flag)
