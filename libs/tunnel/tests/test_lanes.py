"""What a session says of its lanes."""

from support.tunnel import listening_edge, until

from towonel.tunnel.core.events import LanesRequested


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
    wanted: list[int] = []
    async with listening_edge(has_lanes=True) as edge, edge.session() as (session, link):
        session.channel.request(LanesRequested(2))
        await until(lambda: link.lanes_wanted)
        link.observe_lanes = wanted.append
        session.channel.request(LanesRequested(5))
        await until(lambda: wanted)

        assert (wanted, link.lanes_wanted) == ([5], 5)
