"""Difference between our clock and the hub's, by the date of its answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_server import Server

from towonel.client.hub import HubClient
from towonel.client.request import MAX_ROUND_TRIP_MS, measure_skew
from towonel.wire.errors import Denied

DATE, DATE_MS = "Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000_000
HEALTH = {"status": "ok", "node_id": "ab" * 32, "version": "1", "protocol_version": 1}
REFUSED = {"error": {"code": "clock_skew", "message": "set it"}}


@pytest.mark.parametrize(
    ("sent_ms", "received_ms", "skew_ms"),
    [
        (DATE_MS + 500, DATE_MS + 500, 0),
        (DATE_MS, DATE_MS + 1_000, 0),  # half-way between both, and in the middle of the second
        (DATE_MS + 240_400, DATE_MS + 240_600, 240_000),
        (DATE_MS - 300_000, DATE_MS - 299_000, -300_000),
    ],
)
def test_our_clock_half_way_through_the_exchange_is_compared_with_the_date(
    sent_ms: int, received_ms: int, skew_ms: int
) -> None:
    assert measure_skew(sent_ms, received_ms, DATE) == skew_ms


@pytest.mark.parametrize(
    ("took_ms", "date"),
    [
        (0, None),
        (0, "yesterday"),
        (0, "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
        (MAX_ROUND_TRIP_MS + 1, DATE),  # as of a long poll
        (-1, DATE),  # our clock was put back meanwhile
    ],
)
def test_an_answer_that_does_not_tell_it_is_passed_over(took_ms: int, date: str | None) -> None:
    assert measure_skew(DATE_MS, DATE_MS + took_ms, date) is None


@given(st.text())
def test_no_date_breaks_a_request(date: str) -> None:
    found = measure_skew(DATE_MS, DATE_MS, date)

    assert found is None or isinstance(found, int)


@pytest.mark.parametrize(("status", "body"), [(200, HEALTH), (401, REFUSED)])
async def test_each_answer_tells_it_and_one_that_refuses_our_clock_above_all(
    server: Server, status: int, body: dict[str, object]
) -> None:
    server.reply(status, json.dumps(body), date=DATE)
    found: list[int] = []
    async with HubClient(server.url, now_ms=lambda: DATE_MS + 400_500) as hub:
        hub.observe_skew(found.append)
        try:
            await hub.health()
        except Denied as error:
            assert status == 401, error

    assert found == [400_000]


async def test_a_server_without_a_date_tells_nothing(server: Server) -> None:
    server.reply(200, json.dumps(HEALTH))
    found: list[int] = []
    async with HubClient(server.url) as hub:
        hub.observe_skew(found.append)
        await hub.health()

    assert found == []
