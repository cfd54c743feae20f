"""A tenant's log: entries are sent and read as the original's, in CBOR."""

import json

import pytest
from support.scripted_server import Server

from towonel.client.hub import HubClient
from towonel.identity.keys import TenantKey
from towonel.identity.legacy.entries import sign_entry
from towonel.identity.signatures import Signature
from towonel.wire import cbor
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import EntryPayload, decode_entry, encode_log
from towonel.wire.legacy.ops import UpsertHostname

NOW_MS = 1_800_000_000_000
TENANT = TenantKey.from_seed(b"\x02" * 32)
TENANT_ID = TenantId(TENANT.tenant_id)
ENTRY = sign_entry(TENANT, EntryPayload(1, TENANT_ID, 9, NOW_MS, UpsertHostname("a.example.eu")))
PATH = f"/v1/tenants/{TENANT_ID.hex()}/entries"


def client(server: Server, key: str | None = None) -> HubClient:
    return HubClient(server.url, operator_key=key, now_ms=lambda: NOW_MS)


async def test_an_entry_needs_no_authorization_but_its_own(server: Server) -> None:
    server.reply(200, cbor.encode({"status": "ok", "sequence": 9}))

    async with client(server, "key") as hub:
        sequence = await hub.entries.submit(ENTRY)

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/v1/entries")
    assert request.headers["content-type"] == "application/cbor"
    assert "authorization" not in request.headers
    assert decode_entry(request.body) == ENTRY
    assert sequence == 9


@pytest.mark.parametrize(
    "body", [b"", b"{}", cbor.encode({}), cbor.encode({"sequence": -1}), cbor.encode([9])]
)
async def test_an_answer_without_a_sequence_is_malformed(server: Server, body: bytes) -> None:
    server.reply(200, body)

    async with client(server) as hub:
        with pytest.raises(ProtocolError) as caught:
            await hub.entries.submit(ENTRY)

    assert caught.value.code is Code.MALFORMED


async def test_a_sequence_that_is_taken_is_a_conflict(server: Server) -> None:
    server.reply(409, json.dumps({"error": {"code": "sequence_conflict", "message": "taken"}}))

    async with client(server) as hub:
        with pytest.raises(Denied, match="taken") as caught:
            await hub.entries.submit(ENTRY)

    assert caught.value.code is Code.SEQUENCE_CONFLICT


async def test_a_tenant_reads_its_log_with_its_own_signature(server: Server) -> None:
    server.reply(200, encode_log([ENTRY, ENTRY]))

    async with client(server, "key") as hub:
        entries = await hub.entries.list(TENANT)

    [request] = server.requests
    assert (request.method, request.target) == ("GET", PATH)
    assert request.headers["accept"] == "application/cbor"
    signature = Signature.parse(request.headers["authorization"])
    signature.check_tenant_request(TENANT.public, NOW_MS)
    assert entries == [ENTRY, ENTRY]


async def test_an_operator_reads_any_log_with_the_key(server: Server) -> None:
    server.reply(200, encode_log([]))

    async with client(server, "key") as hub:
        assert await hub.entries.list(TENANT_ID) == []

    [request] = server.requests
    assert request.target == PATH
    assert request.headers["authorization"] == "Bearer key"


async def test_a_log_that_is_none_is_malformed(server: Server) -> None:
    server.reply(200, b"junk")

    async with client(server) as hub:
        with pytest.raises(ProtocolError) as caught:
            await hub.entries.list(TENANT)

    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        (401, "clock_skew", Code.CLOCK_SKEW),
        (403, "tenant_not_allowed", Code.TENANT_NOT_ALLOWED),
        (404, "not_found", Code.NOT_FOUND),
        (429, "rate_limited", Code.RATE_LIMITED),
        (500, "internal", Code.INTERNAL),
        (503, "hub_unavailable", Code.HUB_UNAVAILABLE),
    ],
)
async def test_a_log_that_cannot_be_read_is_never_taken_for_an_empty_one(
    server: Server, status: int, word: str, code: Code
) -> None:
    server.reply(status, json.dumps({"error": {"code": word, "message": "no"}}))

    async with client(server) as hub:
        with pytest.raises(TowonelError) as caught:
            await hub.entries.list(TENANT)

    assert caught.value.code is code


async def test_an_id_of_another_length_is_never_sent(server: Server) -> None:
    async with client(server, "key") as hub:
        with pytest.raises(Denied):
            await hub.entries.list(TenantId(b"\x01" * 33))

    assert server.requests == []
