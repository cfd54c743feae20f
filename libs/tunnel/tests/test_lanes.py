"""What a session says of its lanes."""

from support.tunnel import listening_edge, until

from towonel.tunnel.core.events import LanesRequested
from towonel.wire.lane_admission import tls_pool_id


async def test_both_ends_hold_the_secret_of_the_sessions_lanes_and_each_session_its_own() -> None:
    async with (
        listening_edge(has_lanes=True) as edge,
        edge.session() as (one, link),
        edge.session() as (other, _),
    ):
        assert link.lane_secret == one.lane_secret
        assert one.lane_secret != other.lane_secret
        assert link.address == edge.address


async def test_an_edge_without_lanes_gives_no_secret() -> None:
    async with listening_edge() as edge, edge.session() as (session, link):
        assert session.lane_secret is None
        assert link.lane_secret is None


async def test_an_agent_learns_how_many_lanes_the_edge_wants_before_it_asks_and_later() -> None:
    wanted: list[tuple[bytes, int]] = []
    async with listening_edge(has_lanes=True) as edge, edge.session() as (session, link):
        session.channel.request(LanesRequested(2))
        await until(lambda: link.lanes_wanted)
        link.observe_lanes = lambda pool_id, count: wanted.append((pool_id, count))
        session.channel.request(LanesRequested(5))
        session.channel.request(LanesRequested(3, inside_tls=True))
        await until(lambda: len(wanted) == 2)

        pool_id = tls_pool_id(session.session_id)
        assert wanted == [(session.session_id, 5), (pool_id, 3)]
        assert link.lanes_wanted == dict(wanted)
