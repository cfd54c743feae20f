"""Field types that several bodies share: hostnames, ids, names, times."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
)
from pydantic_core import CoreSchema, core_schema

HEX_32_ANY_CASE = r"^[0-9a-fA-F]{64}$"  # what the hub accepts in paths and settings

MAX_HOSTNAMES = 1_000

FIRST_YEAR, LAST_YEAR = 1970, 9998  # in any zone a year that `datetime` has


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", re.ASCII)  # pydantic reads the rest

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"


# The document has the rules of names; `wire.names` checks them, and says which one is broken.
type Hostname = Annotated[
    str,
    Field(json_schema_extra={"pattern": rf"^(\*|{_LABEL})(\.{_LABEL})+$", "maxLength": 253}),
]

Hostnames = Annotated[list[Hostname], Field(min_length=1, max_length=MAX_HOSTNAMES)]

type Group = Annotated[
    str, Field(min_length=1, max_length=63, json_schema_extra={"pattern": "^[a-z0-9-]{1,63}$"})
]


type Region = Annotated[str, Field(pattern="^[a-z0-9-]{1,63}$")]


@dataclass(frozen=True, slots=True)
class HexCodec:
    """Codec of `size` bytes, which are lower-case hexadecimal digits in JSON and in dumps."""

    size: int

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        """Return the schema of the text, which is decoded; bytes of that size are taken as they are."""
        text = core_schema.str_schema(pattern=f"^[0-9a-f]{{{2 * self.size}}}$")
        decoded = core_schema.no_info_after_validator_function(bytes.fromhex, text)
        return core_schema.json_or_python_schema(
            decoded,
            core_schema.no_info_wrap_validator_function(self._decode, decoded),
            serialization=core_schema.plain_serializer_function_ser_schema(
                bytes.hex, return_schema=text
            ),
        )

    def _decode(self, value: object, decode: Callable[[object], bytes]) -> bytes:
        if isinstance(value, bytes) and len(value) == self.size:
            return value
        return decode(value)


type Hex32 = Annotated[bytes, HexCodec(32)]

type Base64 = Annotated[str, Field(max_length=1_500, pattern=r"^[A-Za-z0-9_-]*$")]


def _as_text(value: object) -> object:
    if not isinstance(value, datetime) and not _MOMENT.match(str(value)):
        raise ValueError("must be RFC 3339, as in 2026-11-24T12:00:00Z")
    return value


def _in_our_time(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return at


# A number could be seconds or milliseconds, so it is refused.
Moment = Annotated[
    AwareDatetime, BeforeValidator(_as_text), AfterValidator(_in_our_time), Field(strict=False)
]

# Not every database can store a NUL, and the other control characters cannot be read.
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]

Name = Annotated[Text, Field(max_length=100)]


MAX_PAGE = 1_000
