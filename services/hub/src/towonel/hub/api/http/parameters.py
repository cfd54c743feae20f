"""Parameters of paths and queries: ids, pages and filters."""

import math
import re
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from towonel.api.fields import HEX_32_ANY_CASE, MAX_PAGE
from towonel.hub.api.openapi.examples import NODE, TENANT
from towonel.hub.store.db.pagination import MAX_CURSOR_CHARS, Paging
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.tokens import INVITE_ID_BYTES

PAGE = 100
_HEX_32 = re.compile(HEX_32_ANY_CASE, re.ASCII)

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Rows in a page, at most.")]
Cursor = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the page before."),
]
Text = Annotated[str | None, Query(max_length=253, pattern=r"^[^\x00-\x1f]*$")]
# The patterns of ids are documentation only: an invalid id is answered with a readable rule.
InviteId = Annotated[
    str,
    Path(
        max_length=64,
        description="16 bytes in base64url.",
        examples=["pJ4yYx1sT0mQ8aWv7c2d3g"],
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"},
    ),
]
KeyId = Annotated[
    str,
    Path(
        max_length=64,
        description="8 bytes in base64url.",
        examples=["Yx1sT0mQ8aU"],
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$"},
    ),
]
_HEX_PATTERN: dict[str, Any] = {"pattern": HEX_32_ANY_CASE}
HexId = Annotated[
    str,
    Path(
        max_length=64,
        description="32 bytes in hexadecimal.",
        examples=[TENANT, NODE],
        json_schema_extra=_HEX_PATTERN,
    ),
]
RouteKey = Annotated[
    str,
    Path(
        max_length=300, description="A route's key.", examples=["https:app.example.eu", "tcp:2222"]
    ),
]
Pattern = Annotated[
    str,
    Path(
        max_length=300,
        description="A hostname of the invite, or a pattern.",
        examples=["app.example.eu", "*.home.example.eu"],
    ),
]


ServerName = Annotated[
    str,
    Path(max_length=253, description="A name that clients ask for.", examples=["app.example.eu"]),
]


async def _paging(limit: Limit = PAGE, cursor: Cursor = None) -> Paging:
    return Paging(limit, cursor)


async def _long_paging(limit: Limit = MAX_PAGE, cursor: Cursor = None) -> Paging:
    return Paging(limit, cursor)


Page = Annotated[Paging, Depends(_paging)]
# The original's clients have no paging: their default is the largest page.
LongPage = Annotated[Paging, Depends(_long_paging)]


def parse_id(text: str, field: str, size: int = INVITE_ID_BYTES) -> bytes:
    """Parse the id of an invite, a reservation or a key.

    Raises:
        Denied: INVALID_REQUEST, naming the field.
    """
    try:
        found = base64url.decode(text)
    except ProtocolError:
        found = b""
    if len(found) != size:
        rule = f"must be {math.ceil(size * 4 / 3)} characters of base64url, as the list shows it"
        raise Denied(Code.INVALID_REQUEST, f"{field}: {rule}")
    return found


def parse_hex(text: str, field: str) -> bytes:
    """Parse the id of a tenant, agent or edge, 32 bytes.

    Raises:
        Denied: INVALID_REQUEST.
    """
    if not _HEX_32.fullmatch(text):
        raise Denied(Code.INVALID_REQUEST, f"{field}: must be 64 hexadecimal digits")
    return bytes.fromhex(text)


async def _tenant_filter(
    tenant_id: Annotated[
        str | None,
        Query(max_length=64, description="Only this tenant's.", json_schema_extra=_HEX_PATTERN),
    ] = None,
) -> TenantId | None:
    return None if tenant_id is None else TenantId(parse_hex(tenant_id, "tenant_id"))


async def _edge_filter(
    edge_id: Annotated[
        str | None,
        Query(max_length=64, description="Only on this edge.", json_schema_extra=_HEX_PATTERN),
    ] = None,
) -> bytes | None:
    return None if edge_id is None else parse_hex(edge_id, "edge_id")


async def _publisher(
    agent_id: Annotated[
        str | None,
        Query(
            max_length=64, description="The agent that publishes.", json_schema_extra=_HEX_PATTERN
        ),
    ] = None,
) -> bytes | None:
    return None if agent_id is None else parse_hex(agent_id, "agent_id")


async def _published_digest(
    digest: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Of what the agent published last, as the answer to that had it.",
            json_schema_extra=_HEX_PATTERN,
        ),
    ] = None,
) -> bytes | None:
    return None if digest is None else parse_hex(digest, "digest")


Publisher = Annotated[bytes | None, Depends(_publisher)]
PublishedDigest = Annotated[bytes | None, Depends(_published_digest)]
OfTenant = Annotated[TenantId | None, Depends(_tenant_filter)]
OfEdge = Annotated[bytes | None, Depends(_edge_filter)]
