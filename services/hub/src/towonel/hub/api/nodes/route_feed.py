"""Endpoint of the feed of routes, which edges poll."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from towonel.hub.api.http.auth import EdgeSignature
from towonel.hub.api.http.edge_auth import authenticate_edge, check_active_edge, use_once
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.router import create_router
from towonel.hub.context import HubDep
from towonel.identity.signatures import Domain
from towonel.wire.routes import TAG_BYTES, RouteDelta, delta_chunks

router = create_router("/v1")
MAX_WAIT_S = 30
TAG = f"^[0-9a-f]{{{2 * TAG_BYTES}}}$"
CBOR = {"content": {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/routes/feed",
    tags=["routes"],
    response_class=StreamingResponse,
    responses={
        200: {**CBOR, "description": "What changed, or everything; docs/protocol.md says how."},
        **error_responses(400),
    },
)
async def follow_routes(
    hub: HubDep,
    request: Request,
    authorization: EdgeSignature,
    since: Annotated[
        int | None, Query(ge=0, lt=1 << 63, description="The revision that the edge has.")
    ] = None,
    tag: Annotated[
        str | None,
        Query(
            pattern=TAG, description="The tag of that revision; with another, everything is sent."
        ),
    ] = None,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a change.")
    ] = 0,
) -> StreamingResponse:
    """Return what changed since a revision, waiting for it if asked to; signed by an edge."""
    signed = await authenticate_edge(hub, request, authorization, Domain.EDGE_SUBSCRIBE)
    request.state.at_end.enter_context(hub.edge_requests.hold(signed.id))
    await use_once(hub, signed, Domain.EDGE_SUBSCRIBE)
    known_tag = None if tag is None else bytes.fromhex(tag)
    is_current = since is None or await hub.route_cache.wait_for_change(
        since, wait, hub.stopping, tag=known_tag
    )
    check_active_edge(hub, signed.id)
    if since is not None and since > hub.route_cache.revision and not is_current:
        chunks: Sequence[bytes] = list(
            delta_chunks(RouteDelta(since, snapshot=False, tag=known_tag))
        )
    else:
        chunks = await hub.route_cache.encode_since(since, known_tag)
    length = sum(map(len, chunks))
    return StreamingResponse(
        _stream(chunks), media_type="application/cbor", headers={"content-length": str(length)}
    )


async def _stream(chunks: Sequence[bytes]) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)
