"""Parsers of ids and request bodies from flags; each error names its flag."""

import re
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from towonel.api.bodies import Request
from towonel.api.rules import describe_rule
from towonel.cli.errors import UsageError

_HEX_32 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

TenantIdFlag = Annotated[
    str | None,
    typer.Option(
        "--tenant-id", metavar="HEX", help="A tenant, 64 hexadecimal digits.", show_default=False
    ),
]


def parse_hex_id(flag: str, text: str) -> bytes:
    """Parse the id of a tenant, an agent or an edge.

    Raises:
        UsageError: naming the flag.
    """
    if not _HEX_32.fullmatch(text.strip()):
        raise UsageError(f"{flag}: is 64 hexadecimal digits")
    return bytes.fromhex(text.strip())


def build_request[R: Request](model: type[R], **fields: Any) -> R:
    """Build a request's body from flags.

    Raises:
        UsageError: naming the first flag whose value the hub would refuse.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        message = describe_rule(first)
        raise UsageError(f"--{name}: {message}" if name else message) from None
