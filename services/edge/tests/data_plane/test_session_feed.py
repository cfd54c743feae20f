"""Feed of sessions: what workers hear of an agent's hints, and of what has changed alone."""

from types import SimpleNamespace
from typing import cast

from towonel.edge.data_plane.session_feed import SessionFeed
from towonel.edge.worker.messages import Message, SessionServices, SessionWeight
from towonel.tunnel.session import Session
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints

A, B, C = (ServiceKey(ServiceKind.TCP, name) for name in "abc")
ID = b"s" * 16


def session_of(services: set[ServiceKey], hints: BalanceHints) -> Session:
    facts = {"session_id": ID, "tenant_id": b"t" * 32, "agent_id": b"a" * 32, "group": "home"}
    rest = {"lane_secret": None, "has_streams": True, "going_away": False}
    connection = SimpleNamespace(rtt_s=0.1)
    made = SimpleNamespace(
        **facts, **rest, services=frozenset(services), hints=hints, connection=connection
    )
    return cast("Session", made)


def feed() -> tuple[SessionFeed, list[Message]]:
    told: list[Message] = []
    return SessionFeed(told.append, lambda _: None), told


def test_a_worker_hears_of_a_sessions_group_weight_and_marks() -> None:
    found, told = feed()
    hints = BalanceHints(7, failing=frozenset({A}), sticky=frozenset({A, B}))
    found.on_admitted(session_of({A, B, C}, hints))

    assert vars_of(told[0]) == ("home", 7)
    assert sorted(map(repr, told[1:])) == sorted(
        repr(SessionServices(ID, [f"tcp:{name}"], failing=failing, sticky=sticky))
        for name, failing, sticky in (("a", True, True), ("b", False, True), ("c", False, False))
    )


def vars_of(message: Message) -> tuple[object, object]:
    return getattr(message, "group", None), getattr(message, "weight", None)


def test_only_what_has_changed_is_told_again() -> None:
    found, told = feed()
    before = BalanceHints(7, failing=frozenset({A}))
    session = session_of({A, B}, BalanceHints(7, failing=frozenset({B})))
    found.on_services_changed(session, frozenset({A, B}), before)
    assert sorted(map(repr, told)) == sorted(
        map(repr, (SessionServices(ID, ["tcp:a"]), SessionServices(ID, ["tcp:b"], failing=True)))
    )
    told.clear()
    session = session_of({A, C}, BalanceHints(0, failing=frozenset({A})))
    found.on_services_changed(session, frozenset({A, B}), BalanceHints(7, frozenset({A, B})))

    assert told == [
        SessionWeight(ID, 0),
        SessionServices(ID, ["tcp:c"]),
        SessionServices(ID, ["tcp:b"], ended=True),
    ]
