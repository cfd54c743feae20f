"""Links to a real edge: what the log tells of their beginning and end."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import override

import pytest
from structlog.testing import capture_logs
from support.agent_links import linking
from support.raw_edge import RawEdge
from support.tunnel import EDGE, IDENTITY, PEM, SERVICE, RecordingPolicy, until

from towonel.agent.core.edges import Edge
from towonel.agent.leaving_links import MAX_LEAVING
from towonel.agent.timing import LinkTiming
from towonel.relay.core.lane_kinds import LaneKind
from towonel.runtime.admin import Health
from towonel.tunnel.listener import listen
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.messages import GoAway
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints


class FailingHealth(Health):
    """Health whose first good news meets a bug."""

    failures = 0

    @override
    def set(self, check: str, *, ok: bool, reason: str = "") -> None:
        super().set(check, ok=ok, reason=reason)
        if ok and not self.failures:
            self.failures += 1
            raise RuntimeError("a bug")


@dataclass
class Admitting(RecordingPolicy):
    """Policy that acts as it admits an agent, which does not know that yet."""

    act: Callable[[], object] = lambda: None
    leaving: list[Session] = field(default_factory=list[Session])

    @override
    def on_admitted(self, session: Session) -> None:
        super().on_admitted(session)
        self.act()

    @override
    def on_going_away(self, session: Session) -> None:
        self.leaving.append(session)


TIMING = LinkTiming(first_pause_s=0.02, max_pause_s=0.05)


async def test_the_end_of_each_link_is_logged_whoever_ends_it() -> None:
    policy, health = RecordingPolicy(), Health()
    edge = listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy)
    with capture_logs() as lines:
        async with edge as listener, linking(health, TIMING) as links:
            links.update_edges([Edge(IDENTITY, (("127.0.0.1", listener.port),))])
            await until(lambda: health.ready)
            policy.sessions[0].go_away()
            await until(lambda: [line["event"] for line in lines].count("link.opened") == 2)
            await until(lambda: "link.closed" in [line["event"] for line in lines])

    told = [(line["event"], line.get("code")) for line in lines]
    assert told == [
        ("link.opened", None),
        ("link.go_away_received", None),
        ("link.opened", None),
        ("link.closed", "superseded"),  # by the one that follows
        ("link.closed", "normal"),
    ]


@dataclass
class ChangingPolicy(RecordingPolicy):
    """Policy of an edge whose agent changes its services just when it is admitted."""

    change: Callable[[], object] = field(kw_only=True)

    @override
    def on_admitted(self, session: Session) -> None:
        super().on_admitted(session)
        self.change()


@pytest.mark.parametrize("is_dialling", [True, False])
async def test_an_edge_is_told_of_other_services_on_a_link_that_is_open_or_being_dialled(
    is_dialling: bool,
) -> None:
    health, other = Health(), ServiceKey(ServiceKind.HTTPS, "other.eu")
    async with linking(health, TIMING) as links:

        def change() -> None:
            if is_dialling:
                links.change_services((other,))

        policy = ChangingPolicy(change=change)
        async with listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy) as edge:
            links.update_edges([Edge(IDENTITY, (("127.0.0.1", edge.port),))])
            await until(lambda: health.ready)
            links.change_services((other,))
            await until(lambda: policy.served_before)

            assert policy.served_before == [{SERVICE}]
            assert policy.sessions[0].services == {other}


@pytest.mark.parametrize("is_dialling", [True, False])
async def test_an_edge_is_told_of_other_hints_also_with_other_services(is_dialling: bool) -> None:
    health, other = Health(), ServiceKey(ServiceKind.HTTPS, "other.eu")
    first, then = BalanceHints(7), BalanceHints(0, frozenset({other}))
    async with linking(health, TIMING) as links:
        links.change_hints(first)
        change = partial(links.change_hints, then if is_dialling else first)
        policy = ChangingPolicy(change=change)
        async with listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy) as edge:
            links.update_edges([Edge(IDENTITY, (("127.0.0.1", edge.port),))])
            await until(lambda: health.ready)
            session = policy.sessions[0]
            if not is_dialling:
                assert session.hints == first
                links.change_hints(then)
            await until(lambda: session.hints == BalanceHints(0))
            links.change_services((SERVICE, other))
            await until(lambda: session.hints == then)

            assert session.services == {SERVICE, other}


async def test_an_edge_is_told_the_software_of_the_agent() -> None:
    policy, health = RecordingPolicy(), Health()
    edge = listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy)
    async with edge as listener, linking(health, TIMING) as links:
        links.update_edges([Edge(IDENTITY, (("127.0.0.1", listener.port),))])
        await until(lambda: health.ready)

        assert [session.software for session in policy.sessions] == ["agent"]


async def test_an_edge_that_refuses_the_tenant_has_the_hub_asked_why() -> None:
    policy, health = RecordingPolicy(refuses=Code.TENANT_REVOKED), Health()
    edge = listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy)
    async with edge as listener, linking(health, TIMING) as links:
        links.update_edges([Edge(IDENTITY, (("127.0.0.1", listener.port),))])
        await links.is_outdated.wait()
        reason = health.reasons["edges"]
        where = f"127.0.0.1:{listener.port}: tenant_revoked: "

    assert reason.startswith(f"no link to any edge: {where}the edge takes no agent of this tenant")


async def test_a_session_that_ends_because_of_the_tenant_has_the_hub_asked_why() -> None:
    policy, health = RecordingPolicy(), Health()
    edge = listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy)
    async with edge as listener, linking(health, TIMING) as links:
        links.update_edges([Edge(IDENTITY, (("127.0.0.1", listener.port),))])
        await until(lambda: health.ready)
        assert not links.is_outdated.is_set()
        policy.sessions[0].close(Code.TENANT_REVOKED)
        await links.is_outdated.wait()


async def test_an_edge_that_cannot_be_reached_is_named_until_the_hub_names_it_no_more() -> None:
    health = Health()
    async with linking(health, TIMING) as links:
        links.update_edges([Edge(IDENTITY, (("edge.invalid", 1),))])
        await until(lambda: "edge.invalid:1: session_lost: " in health.reasons["edges"])
        links.update_edges(())

        assert health.reasons["edges"] == "no link to any edge: the hub has named none"


async def test_of_links_that_an_edge_leaves_open_after_its_go_away_the_first_ones_end() -> None:
    with contextlib.closing(RawEdge(EDGE)) as edge:
        edge.on_open = lambda session: session.say(GoAway())
        async with linking(Health(), TIMING) as links:
            links.update_edges([Edge(edge.identity, (("127.0.0.1", edge.port),))])
            await until(lambda: len(edge.sessions) == MAX_LEAVING + 4)
            await until(lambda: len([one for one in edge.sessions if one.is_closed]) >= 3)

            assert [one.close_code for one in edge.sessions[:3]] == [Code.LIMIT_EXCEEDED] * 3
            assert not any(one.is_closed for one in edge.sessions[-MAX_LEAVING:])


async def test_a_link_that_opens_while_the_agent_drains_takes_no_clients() -> None:
    policy = Admitting(has_lanes=True)
    edge = listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy)
    async with (
        edge as listener,
        linking(Health(), TIMING, kinds=[LaneKind.PLAIN]) as links,
        asyncio.TaskGroup() as tasks,
    ):
        policy.act = lambda: tasks.create_task(links.drain())
        links.update_edges([Edge(IDENTITY, (("127.0.0.1", listener.port),))])
        await until(lambda: policy.leaving)

        assert policy.leaving == policy.sessions
        assert links._lanes._pools == {}


async def test_a_bug_that_one_edge_meets_is_logged_and_ends_neither_agent_nor_other_links() -> None:
    policy, health, told = RecordingPolicy(), FailingHealth(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: told.append(facts["message"]))
    edge = listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy)
    async with edge as listener, linking(health, TIMING) as links:
        links.update_edges([Edge(IDENTITY, (("127.0.0.1", listener.port),))])
        await until(lambda: told)
        await until(lambda: policy.sessions and len(policy.ended_with) == 1)

    assert told == ["a link failed"]
