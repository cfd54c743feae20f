"""When an agent publishes again, and when another one of its group has displaced it."""

from copy import replace

import pytest

from towonel.agent.core.publication import (
    Displaced,
    Lost,
    Outcome,
    Standing,
    Withdrawn,
    compare,
    format_names,
    tabulate_routes,
)
from towonel.agent.core.services import Origin, ProxyProtocol, PublicPort, Service
from towonel.api.agents import Publication
from towonel.wire.names import ServiceKey, ServiceKind

A, B, OTHER = b"a" * 32, b"b" * 32, b"o" * 32
KEYS = ("https:a.eu", "https:b.eu")
OWN = Publication(number=3, digest=A)
EMPTY = Publication(number=0, digest=A)


@pytest.mark.parametrize(
    ("own", "newest", "outcome"),
    [
        (OWN, Publication(number=3, digest=A), Standing()),
        (OWN, Publication(number=5, digest=A), Standing()),  # displaced for a while, and back
        (OWN, Publication(number=3, digest=A, services=["https:b.eu"]), Withdrawn(KEYS[:1])),
        (OWN, Publication(number=3, digest=A, services=list(KEYS)), Standing()),  # of another group
        (
            OWN,
            Publication(number=4, digest=B, agent_id=OTHER, services=["https:b.eu"]),
            Displaced(KEYS[:1], OTHER),
        ),
        (OWN, Publication(number=4, digest=B, services=[*KEYS, "https:c.eu"]), Displaced((), None)),
        # Another history, in which the group published as often.
        (OWN, Publication(number=3, digest=B, services=[]), Displaced(KEYS, None)),
        (OWN, Publication(number=2, digest=B, services=[]), Lost(KEYS)),
        (OWN, Publication(number=0, services=[]), Lost(KEYS)),
        (None, Publication(number=4, digest=B, services=["https:b.eu"]), Lost(KEYS[:1])),
    ],
)
def test_only_what_the_hub_dropped_or_lost_is_published_again(
    own: Publication | None, newest: Publication, outcome: Outcome
) -> None:
    assert compare(own, newest, KEYS) == outcome


def test_an_agent_without_services_has_nothing_to_lose() -> None:
    assert compare(EMPTY, Publication(number=0, services=[]), ()) == Standing()
    assert compare(EMPTY, Publication(number=1, digest=B, services=["https:b.eu"]), ()) == (
        Displaced((), None)
    )


def test_many_names_are_counted() -> None:
    names = [f"{number}.eu" for number in range(12)]

    assert format_names(names).endswith("9.eu and 2 more")
    assert format_names(names[:10]).endswith("8.eu, 9.eu")


def test_routes_have_the_ports_that_the_hub_has_settled() -> None:
    origin = Origin("127.0.0.1", 1, ProxyProtocol.NONE)

    def tcp(name: str, port: PublicPort) -> Service:
        return Service(ServiceKey(ServiceKind.TCP, name), origin, port=port)

    web = Service(ServiceKey(ServiceKind.HTTPS, "a.eu"), origin)
    game = replace(tcp("game", 27_015), last_port=27_030)
    services = (web, tcp("ssh", 2222), tcp("any", "auto"), tcp("new", "auto"), tcp("old", 25), game)

    assert tabulate_routes(services, {"tcp:any": 30_000, "tcp:old": 2525, "tcp:game": 27_015}) == {
        "tcp:27015-27030": "tcp:game",
        "https:a.eu": "https:a.eu",
        "tcp:2222": "tcp:ssh",
        "tcp:30000": "tcp:any",
        "tcp:2525": "tcp:old",
    }
