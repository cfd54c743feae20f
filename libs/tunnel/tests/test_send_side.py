"""Send sides that share the credit of a session: who is woken, and that nobody is forgotten."""

import asyncio
from typing import cast

from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.tunnel.core.bounds.send_budget import MAX_SESSION_BYTES, WAKE_BYTES, SendBudget
from towonel.tunnel.quic.connection import Connection
from towonel.tunnel.send_side import SendSide
from towonel.tunnel.session_credit import SessionCredit
from towonel.wire.credit import SESSION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from towonel.wire.errors import Code, Unavailable

STREAMS = 1_000
TURNS = 5  # of the loop, until everybody who was woken waits again
PACKET_BYTES = 1_200


class Sessions:
    """Sessions of one tenant whose agents acknowledge when they are told to; counts who looks for room."""

    def __init__(self, tenant: SendBudget | None = None) -> None:
        self.tenant = tenant or SendBudget(4 * MAX_SESSION_BYTES)
        self.budget = SendBudget(MAX_SESSION_BYTES, self.tenant)
        self.other = SendBudget(MAX_SESSION_BYTES, self.tenant)
        self.credit = SessionCredit(lambda _: None, lambda: 0.0, lambda: 0.1, ReceiveShare())
        self.looks = 0
        self.sent_bytes = 0

    def budget_of(self, _stream_id: int) -> SendBudget:
        self.looks += 1
        return self.budget

    def send(self, _stream_id: int, data: bytes) -> None:
        self.sent_bytes += len(data)
        self.budget.take(len(data))

    def reset(self, _stream_id: int, _code: Code) -> None:
        return

    def side(self, number: int) -> SendSide:
        return SendSide(5 + 4 * number, cast(Connection, self), self.credit)

    async def write(self, count: int, size: int) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.side(it).write(bytes(size))) for it in range(count)]
        await settle()
        return tasks


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_neither_acknowledgements_nor_single_bytes_of_credit_wake_a_thousand_writers() -> (
    None
):
    shared = Sessions()
    shared.credit.spend(SESSION_WINDOW_BYTES)
    shared.budget.take(PACKET_BYTES * 101)
    writing, before = await shared.write(STREAMS, 65_536), shared.looks
    for number in range(100):
        shared.budget.release(PACKET_BYTES)
        shared.credit.grant(SESSION_WINDOW_BYTES + 1 + number)
        await settle()

    assert shared.sent_bytes == 100
    assert shared.looks - before <= 300  # two for the byte, one to wait again
    for task in writing:
        task.cancel()


async def test_acknowledgements_of_one_session_wake_no_writers_of_another_that_is_full() -> None:
    shared = Sessions()
    shared.budget.take(MAX_SESSION_BYTES)
    shared.other.take(MAX_SESSION_BYTES)
    writing, before = await shared.write(STREAMS, 65_536), shared.looks
    for _ in range(100):
        shared.other.release(PACKET_BYTES)
        await settle()

    assert shared.looks == before
    for task in writing:
        task.cancel()


async def test_one_grant_serves_every_writer_that_it_has_room_for() -> None:
    shared = Sessions()
    shared.credit.spend(SESSION_WINDOW_BYTES)
    writing = await shared.write(STREAMS, 10)
    shared.credit.grant(SESSION_WINDOW_BYTES + 10 * STREAMS)
    async with asyncio.timeout(5):
        await asyncio.gather(*writing)

    assert shared.sent_bytes == 10 * STREAMS


async def test_a_writer_that_leaves_when_it_was_woken_wakes_the_next() -> None:
    shared = Sessions()
    shared.credit.spend(SESSION_WINDOW_BYTES)
    cancelled, ended, failed, last = (shared.side(it) for it in range(4))
    writing = [asyncio.create_task(it.write(b"x")) for it in (cancelled, ended, failed, last)]
    await settle()
    shared.credit.grant(SESSION_WINDOW_BYTES + 1)
    writing[0].cancel()
    ended.reset(Code.CANCELLED)
    failed.fail(Code.SESSION_LOST)
    async with asyncio.timeout(5):
        await writing[3]

    outcomes = await asyncio.gather(*writing[:3], return_exceptions=True)
    assert [type(it) for it in outcomes] == [asyncio.CancelledError, Unavailable, Unavailable]


async def test_a_writer_that_lacks_credit_of_its_own_wakes_the_next() -> None:
    shared = Sessions()
    shared.credit.spend(SESSION_WINDOW_BYTES - STREAM_WINDOW_BYTES + 1_000)
    long, short = await shared.write(1, STREAM_WINDOW_BYTES + 1), shared.side(1)
    waiting = asyncio.create_task(short.write(b"x"))
    await settle()
    assert not waiting.done()
    shared.credit.grant(SESSION_WINDOW_BYTES + 2_000)
    async with asyncio.timeout(5):
        await waiting
    assert not long[0].done()
    long[0].cancel()


class Stalled:
    """A tenant with little room beside a session that acknowledges nothing, and two that wait for it."""

    def __init__(self) -> None:
        self.tenant = SendBudget(MAX_SESSION_BYTES)
        self.tenant.take(MAX_SESSION_BYTES - PACKET_BYTES)
        self.one, self.two = Sessions(self.tenant), Sessions(self.tenant)
        self.one.budget.take(PACKET_BYTES)

    async def write(self) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        (one,), (two,) = await self.one.write(1, 10), await self.two.write(1, 10)
        assert len(self.tenant._waiting) == 2
        return one, two


async def test_a_writer_that_is_cancelled_when_there_is_room_leaves_it_to_another_session() -> None:
    stalled = Stalled()
    one, two = await stalled.write()
    stalled.one.budget.release(PACKET_BYTES)
    one.cancel()
    async with asyncio.timeout(5):
        await two

    assert one.cancelled()


async def test_a_writer_whose_credit_is_gone_when_there_is_room_leaves_it_to_another_session() -> (
    None
):
    stalled = Stalled()
    one, two = await stalled.write()
    stalled.one.credit.spend(SESSION_WINDOW_BYTES)
    stalled.one.budget.release(PACKET_BYTES)
    async with asyncio.timeout(5):
        await two

    assert not one.done()
    one.cancel()


async def test_a_session_that_ends_leaves_its_room_to_writers_of_another() -> None:
    stalled = Stalled()
    one, two = await stalled.write()
    stalled.one.budget.leave()
    one.cancel()
    async with asyncio.timeout(5):
        await two

    assert one.cancelled()


async def test_writers_of_a_session_that_ended_wait_for_its_tenant_no_longer() -> None:
    shared = Sessions()
    shared.other.take(4 * MAX_SESSION_BYTES)  # control messages are taken without room
    writing = await shared.write(3, WAKE_BYTES)
    assert len(shared.tenant._waiting) == 3
    shared.budget.leave()
    for task in writing:
        task.cancel()
    await settle()

    assert not shared.tenant._waiting
