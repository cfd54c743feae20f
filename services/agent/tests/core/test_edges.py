"""Edges to link to: which are dialled and left as the hub's list changes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.edges import Edge, EdgeChoice, LinkChanges, plan_links
from towonel.tunnel.core.handshake import EdgeIdentity
from towonel.wire.addresses import EDGE_SERVER_NAME
from towonel.wire.ids import EdgeId


def edge(number: int, certificate: str = "one") -> Edge:
    return Edge(EdgeIdentity(EdgeId(bytes([number]) * 32), certificate, b""), (("edge", 443),))


A, B, C = edge(1), edge(2), edge(3)
EDGES = st.lists(
    st.builds(edge, st.integers(1, 4), st.sampled_from(["one", "two"])),
    unique_by=lambda e: e.edge_id,
)


def by_id(*edges: Edge) -> dict[EdgeId, Edge]:
    return {item.edge_id: item for item in edges}


def test_where_an_edge_listens_is_written_as_people_do() -> None:
    both = dataclasses.replace(A, addresses=(("edge.eu", 443), ("2001:db8::1", 8443)))

    assert both.advertised == "edge.eu:443, [2001:db8::1]:8443"
    assert both.facts == {"edge_id": "01" * 32, "address": both.advertised}


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        (("edge.eu", "other.eu"), "edge.eu"),
        (("192.0.2.7", "Edge.eu"), "Edge.eu"),
        (("2001:db8::1", "*.eu"), EDGE_SERVER_NAME),
    ],
)
def test_tls_asks_for_the_first_name_and_for_no_address(hosts: tuple[str, ...], name: str) -> None:
    named = dataclasses.replace(A, addresses=tuple((host, 443) for host in hosts))

    assert named.server_name == name


def test_new_edges_are_dialled_and_those_gone_are_left() -> None:
    assert plan_links(by_id(A, B), [B, C]) == LinkChanges(dial=(C,), leave=(A.edge_id,))


def test_an_edge_with_another_certificate_or_address_is_dialled_again() -> None:
    moved = dataclasses.replace(A, addresses=(("elsewhere", 443),))

    assert plan_links(by_id(A), [edge(1, "two")]) == LinkChanges((edge(1, "two"),), (A.edge_id,))
    assert plan_links(by_id(A), [moved]) == LinkChanges((moved,), (A.edge_id,))


@given(EDGES, EDGES)
def test_carrying_out_the_changes_leads_to_the_wanted_links(
    have: list[Edge], want: list[Edge]
) -> None:
    links = by_id(*have)
    changes = plan_links(links, want)
    for edge_id in changes.leave:
        del links[edge_id]
    for item in changes.dial:
        assert item.edge_id not in links
        links[item.edge_id] = item

    assert links == by_id(*want)
    assert plan_links(links, want) == LinkChanges((), ())


def test_a_link_goes_on_when_its_edge_has_another_name_or_region() -> None:
    renamed = dataclasses.replace(A, name="rome", region="eu")

    assert plan_links(by_id(A), [renamed]) == LinkChanges((), ())


def test_of_the_hubs_edges_only_allowed_ones_are_trusted() -> None:
    assert EdgeChoice().choose([A, B]) == [A, B]
    assert EdgeChoice({B.edge_id, C.edge_id}).choose([A, B]) == [B]
    assert EdgeChoice(frozenset()).choose([A, B]) == []


ROME = dataclasses.replace(A, name="rome", region="eu")
OSLO = dataclasses.replace(B, name="oslo", region="eu")
OHIO = dataclasses.replace(C, name="ohio", region="us-east-1")
OLD = edge(4)  # of a hub that says nothing of names


@pytest.mark.parametrize(
    ("names", "regions", "chosen"),
    [
        ((), (), [ROME, OSLO, OHIO, OLD]),
        (("rome",), (), [ROME]),
        ((OLD.edge_id.hex(), "ohio"), (), [OHIO, OLD]),
        ((), ("eu",), [ROME, OSLO]),
        (("ohio",), ("eu",), [ROME, OSLO, OHIO]),
        (("Rome",), ("asia",), []),
    ],
)
def test_an_agent_takes_the_edges_it_names_and_those_of_its_regions(
    names: tuple[str, ...], regions: tuple[str, ...], chosen: list[Edge]
) -> None:
    choice = EdgeChoice(names=frozenset(names), regions=frozenset(regions))

    assert [e.edge_id for e in choice.choose([ROME, OSLO, OHIO, OLD])] == [
        e.edge_id for e in chosen
    ]


def test_an_edge_that_is_named_and_not_trusted_is_not_dialled() -> None:
    choice = EdgeChoice({OSLO.edge_id}, frozenset({"rome"}), frozenset({"eu"}))

    assert choice.choose([ROME, OSLO, OHIO]) == [OSLO]
