"""Listeners that fail: what is new, what is restored, and what people read of it."""

from copy import replace

from towonel.agent.core.listener_failures import (
    ListenerChanges,
    ListenerFailure,
    compare_failures,
    explain_failures,
)

EDGE, OTHER = b"\xaa" * 32, b"\xbb" * 32
IN_USE = ListenerFailure("tcp:2222", EDGE, "port_in_use", "Address already in use")
ELSEWHERE = replace(IN_USE, edge_id=OTHER)
ROUTES = {"tcp:2222": "tcp:ssh", "tcp:25": "tcp:mail", "tcp:1": "tcp:echo"}


def test_a_listener_that_fails_is_new_once_and_again_where_it_fails_in_another_way() -> None:
    denied = replace(IN_USE, code="port_unavailable")
    more_words = replace(IN_USE, detail="in use")

    assert compare_failures([], [IN_USE], ROUTES) == ListenerChanges((IN_USE,), ())
    assert compare_failures([IN_USE], [IN_USE, ELSEWHERE], ROUTES) == ListenerChanges(
        (ELSEWHERE,), ()
    )
    assert compare_failures([IN_USE], [denied], ROUTES) == ListenerChanges((denied,), ())
    assert compare_failures([IN_USE], [more_words], ROUTES) == ListenerChanges((), ())


def test_a_listener_is_restored_where_its_service_is_published_still() -> None:
    assert compare_failures([IN_USE, ELSEWHERE], [ELSEWHERE], ROUTES) == ListenerChanges(
        (), (IN_USE,)
    )
    assert compare_failures([IN_USE], [], {"tcp:2223"}) == ListenerChanges((), ())


def test_a_reason_names_service_port_edge_and_code() -> None:
    assert explain_failures([], ROUTES) is None
    assert explain_failures([IN_USE], ROUTES) == (
        "edge aaaaaaaaaaaa… does not listen on port 2222 of tcp:ssh: port_in_use (Address already in use)"
    )


def test_ports_of_a_range_are_named_and_again_when_others_fail() -> None:
    some = ListenerFailure("tcp:10-19", EDGE, "port_in_use", "", "11, 13-14")
    fewer = replace(some, ports="11")

    assert compare_failures([some], [some], {"tcp:10-19"}) == ListenerChanges((), ())
    assert compare_failures([some], [fewer], {"tcp:10-19"}) == ListenerChanges((fewer,), ())
    assert compare_failures([fewer], [], {"tcp:10-19"}) == ListenerChanges((), (fewer,))
    texts = [
        explain_failures([each], {"tcp:10-19": "tcp:game"}) or ""
        for each in (some, fewer, replace(some, ports=""))
    ]
    assert [text.partition(" on ")[2] for text in texts] == [
        "ports 11, 13-14 of tcp:game: port_in_use",
        "port 11 of tcp:game: port_in_use",
        "ports 10-19 of tcp:game: port_in_use",
    ]


def test_of_many_the_first_are_named() -> None:
    mail = ListenerFailure("tcp:25", EDGE, "port_unavailable", "")
    lost = ListenerFailure("tcp:1", EDGE, "port_in_use", "")
    text = explain_failures([IN_USE, ELSEWHERE, mail, lost], ROUTES) or ""

    assert [part.partition(" on ")[2].partition(" (")[0] for part in text.split("; ")] == [
        "port 1 of tcp:echo: port_in_use",
        "port 2222 of tcp:ssh: port_in_use",
        "port 2222 of tcp:ssh: port_in_use",
        "",
    ]
    assert text.endswith("; and 1 more")
