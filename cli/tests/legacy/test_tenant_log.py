"""A tenant's log: added to while others add, never taken for empty, and taken back whole."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import CommandedHub

from towonel.api.invites import InviteIn
from towonel.cli.legacy.tenant_log import TenantLog, withdrawals
from towonel.client.hub import HubClient
from towonel.hub.core.legacy import signed_entries as rules
from towonel.identity.keys import TenantKey
from towonel.identity.legacy.entries import sign_entry
from towonel.wire import cbor
from towonel.wire.errors import Code, Denied, TowonelError
from towonel.wire.ids import AgentId
from towonel.wire.legacy.entries import EntryPayload, decode_entry, decode_payload, encode_log
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    Op,
    RevokeAgent,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)
from towonel.wire.routes import TlsMode
from towonel.wire.tokens import InviteToken

TENANT = TenantKey.from_seed(b"\x05" * 32)
OP = UpsertHostname("a.example.eu")
AGENT = AgentId(b"\x58" + b"\x66" * 31)  # the base point of RFC 8032

hostnames = st.sampled_from(["a.example.eu", "A.Example.EU", "*.b.example.eu"])
services = st.sampled_from(["ssh", "dns"])
ports = st.integers(1, 9)
agents = st.sampled_from([AGENT, AgentId(bytes(32))])
ops: st.SearchStrategy[Op] = st.one_of(
    st.builds(UpsertHostname, hostnames),
    st.builds(DeleteHostname, hostnames),
    st.builds(SetHostnameTls, hostnames, st.sampled_from([TlsMode.TERMINATE])),
    st.builds(UpsertAgent, agents),
    st.builds(RevokeAgent, agents),
    st.builds(UpsertTcpService, services, ports),
    st.builds(DeleteTcpService, services),
    st.builds(UpsertUdpService, services, ports),
    st.builds(DeleteUdpService, services),
)


@given(st.lists(ops))
def test_after_the_departures_the_hub_has_nothing_of_the_tenant(log: list[Op]) -> None:
    leaving = withdrawals(log)

    left = rules.replay(map(rules.normalize, log))
    assert rules.replay([*map(rules.normalize, log), *leaving]).ops == {}
    assert all(rules.apply(left, op) != left for op in leaving)
    assert len(set(leaving)) == len(leaving)


def test_names_go_before_the_agents_that_serve_them() -> None:
    log: list[Op] = [
        UpsertAgent(AGENT),
        UpsertUdpService("dns", 53),
        UpsertTcpService("ssh", 22),
        UpsertHostname("a.example.eu"),
    ]

    assert withdrawals(log) == [
        DeleteHostname("a.example.eu"),
        DeleteTcpService("ssh"),
        DeleteUdpService("dns"),
        RevokeAgent(AGENT),
    ]


class Hub:
    """Answers reads and writes with what is next in two lists, and keeps what it was sent."""

    def __init__(self, reads: Sequence[httpx.Response], writes: Sequence[httpx.Response]) -> None:
        self.answers = {"GET": list(reads), "POST": list(writes)}
        self.sequences: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            entry = decode_entry(request.content)
            self.sequences.append(decode_payload(entry.payload).sequence)
        return self.answers[request.method].pop(0)

    def log(self) -> TenantLog:
        client = HubClient("http://127.0.0.1:1", transport=httpx.MockTransport(self))
        return TenantLog(client, TENANT, first_delay_s=0, max_delay_s=0)


def answer(status: int, body: bytes, **headers: str) -> httpx.Response:
    async def content() -> AsyncGenerator[bytes]:
        yield body

    return httpx.Response(status, content=content(), headers=headers)


def log_until(last: int) -> httpx.Response:
    payload = EntryPayload(1, TENANT.tenant_id, last, 0, OP)
    return answer(200, encode_log([sign_entry(TENANT, payload)]))


def accepted(sequence: int) -> httpx.Response:
    return answer(200, cbor.encode({"status": "ok", "sequence": sequence}))


def refused(status: int, code: Code, **headers: str) -> httpx.Response:
    body = json.dumps({"error": {"code": code.word, "message": "no"}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, body.encode(), **named)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, Code.INTERNAL),
        (403, Code.TENANT_NOT_ALLOWED),
        (401, Code.INVALID_SIGNATURE),
        (404, Code.NOT_FOUND),
        (200, None),
        (302, None),
    ],
)
async def test_a_log_that_cannot_be_read_is_never_taken_for_empty(
    status: int, code: Code | None
) -> None:
    hub = Hub([refused(status, code) if code else answer(status, b"junk")], [accepted(1)])

    with pytest.raises(TowonelError):
        await hub.log().append(OP)
    assert hub.sequences == []


async def test_an_entry_follows_the_log_and_the_next_one_needs_no_reading() -> None:
    hub = Hub([log_until(7)], [accepted(8), accepted(9)])
    log = hub.log()

    assert [await log.append(OP), await log.append(OP)] == [8, 9]
    assert hub.sequences == [8, 9]


async def test_the_first_entry_of_all_is_number_one() -> None:
    hub = Hub([answer(200, encode_log([]))], [accepted(1)])

    assert await hub.log().append(OP) == 1


async def test_who_was_slower_reads_again_and_follows() -> None:
    conflict = refused(409, Code.SEQUENCE_CONFLICT)
    hub = Hub([log_until(7), log_until(12)], [conflict, accepted(13)])

    assert await hub.log().append(OP) == 13
    assert hub.sequences == [8, 13]


async def test_who_was_slower_ten_times_is_told() -> None:
    conflicts = [refused(409, Code.SEQUENCE_CONFLICT) for _ in range(11)]
    hub = Hub([log_until(n) for n in range(11)], conflicts)

    with pytest.raises(Denied) as caught:
        await hub.log().append(OP)
    assert caught.value.code is Code.SEQUENCE_CONFLICT
    assert len(hub.sequences) == 10


async def test_a_hub_that_wants_it_slower_is_asked_again_without_reading() -> None:
    hub = Hub([log_until(7)], [refused(429, Code.RATE_LIMITED, retry_after="0"), accepted(8)])

    assert await hub.log().append(OP) == 8
    assert hub.sequences == [8, 8]


async def test_a_request_of_the_same_millisecond_is_signed_again() -> None:
    hub = Hub([refused(401, Code.REPLAYED), log_until(7)], [accepted(8)])

    assert await hub.log().append(OP) == 8


async def test_what_the_hub_refuses_for_good_is_asked_once() -> None:
    hub = Hub([log_until(7)], [refused(403, Code.HOSTNAME_NOT_OWNED), accepted(8)])

    with pytest.raises(Denied, match="no"):
        await hub.log().append(OP)
    assert hub.sequences == [8]


async def test_many_who_write_at_once_all_get_their_place(hub: CommandedHub) -> None:
    async with hub.client() as operator:
        made = await operator.invites.create(InviteIn(hostnames=["crowd.example.eu"]))
    tenant = TenantKey.from_seed(InviteToken.decode(made.token).seed)

    async def write(number: int) -> list[int]:
        async with HubClient(hub.url) as client:
            log = TenantLog(client, tenant)
            return [await log.append(UpsertTcpService(f"s{number}", 40_000 + number)) for _ in "ab"]

    async with asyncio.timeout(30), asyncio.TaskGroup() as writers:
        tasks = [writers.create_task(write(number)) for number in range(4)]
    assert sorted(sequence for task in tasks for sequence in task.result()) == list(range(1, 9))
