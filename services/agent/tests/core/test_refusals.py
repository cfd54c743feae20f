"""What an agent says of a refusal: the code's meaning, and what to do."""

import pytest

from towonel.agent.core.refusals import (
    MAX_EDGES_NAMED,
    describe_link_error,
    describe_refusal,
    explain_no_link,
    explain_silence,
)
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Denied(Code.NOT_FOUND, "no such invite"), "not_found: no such invite; is it the hub"),
        (Denied(Code.BAD_NAME, "a b"), "bad_name: a b"),
    ],
)
def test_what_the_hub_refuses_is_told_in_its_words_with_what_to_do(
    error: TowonelError, told: str
) -> None:
    assert describe_refusal(error).startswith(told)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Denied(Code.TENANT_REVOKED), "the edge takes no agent of this tenant: it is suspended"),
        (Denied(Code.FORBIDDEN), "the edge refuses this agent"),
        (Unavailable(Code.SESSION_LOST, "192.0.2.1:443: no answer"), "192.0.2.1:443: no answer"),
        (OSError("no name"), "no name"),
        (OSError(), "OSError"),
    ],
)
def test_a_link_that_fails_is_told_by_its_reason_or_what_the_edges_code_means(
    error: TowonelError | OSError, told: str
) -> None:
    assert describe_link_error(error).startswith(told)


def test_an_agent_without_a_link_names_some_edges_with_their_reasons() -> None:
    failures = [f"192.0.2.{number}:443: session_lost: no answer" for number in range(9)]

    assert explain_no_link(0, []) == "no link to any edge: the hub has named none"
    assert "of the 3 that the hub names TOWONEL_AGENT_EDGES" in explain_no_link(0, [], left_out=3)
    assert explain_no_link(2, []) == "no link to any edge: dialling 2"
    assert explain_no_link(9, failures[:1]) == f"no link to any edge: {failures[0]}"
    assert explain_no_link(9, failures).endswith(f"{failures[2]}; and {9 - MAX_EDGES_NAMED} more")


def test_links_that_go_over_tcp_are_counted_and_each_reason_is_told_once() -> None:
    silent = ["no answer", "blocked", "no answer"]

    assert explain_silence([], 4) is None
    assert explain_silence(silent, 4) == "3 of 4 links go over TCP (blocked; no answer)"


def test_an_agent_without_lanes_is_told_what_it_would_need_where_nothing_answers() -> None:
    lost = Unavailable(Code.SESSION_LOST, "is UDP blocked?")
    denied = Denied(Code.GRANT_INVALID, "its time is over")

    assert describe_link_error(lost) == "is UDP blocked?"
    assert describe_link_error(lost, has_lanes=False).startswith("is UDP blocked? Over TCP")
    assert describe_link_error(OSError("away"), has_lanes=False).endswith(
        "TOWONEL_AGENT_LANES is off"
    )
    assert describe_link_error(denied, has_lanes=False) == "its time is over"
