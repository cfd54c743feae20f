"""Ids and other values of flags, checked before anything is asked, each mistake named by its flag."""

import re
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from towonel.api.bodies import Request
from towonel.cli.errors import UsageError

_HEX_32 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

TenantIdFlag = Annotated[
    str | None,
    typer.Option(
        "--tenant-id", metavar="HEX", help="A tenant, 64 hexadecimal digits.", show_default=False
    ),
]


def parse_hex_id(flag: str, text: str) -> str:
    """Return the id of a tenant or an agent as the hub spells it.

    Raises:
        UsageError: naming the flag.
    """
    if not _HEX_32.fullmatch(text.strip()):
        raise UsageError(f"{flag}: is 64 hexadecimal digits")
    return text.strip().lower()


def build_request[R: Request](model: type[R], **fields: Any) -> R:
    """Return a request's body.

    Raises:
        UsageError: naming the first flag whose value the hub would refuse.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"--{name}: {said}" if name else said) from None
