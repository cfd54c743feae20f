"""Tenants, services, routes, agents and edges on the command line, against a real hub."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from support.commands import CommandedHub, towonel
from support.hub import new_key, registration, state, tenant_of

from towonel.api.agents import AgentItem, AgentSession
from towonel.api.edges import EdgeItem
from towonel.api.invites import InviteIn, InviteOut
from towonel.api.services import RouteItem
from towonel.api.traffic import EngineName, Traffic, Way, WayReason
from towonel.cli.commands.agent.list import format_weight
from towonel.cli.commands.edge import COLUMNS, edge_row
from towonel.cli.tables import agent_rows, describe_skew, format_session, format_tls
from towonel.identity.keys import NodeKey
from towonel.wire.tokens import EdgeToken, InviteToken

HOST = "views.example.eu"
NOW = datetime(2026, 11, 26, tzinfo=UTC)
REFUSED = [
    ("tenant", "show"),
    ("tenant", "show", "b7"),
    ("tenant", "show", "b7" * 32, "--tenant-id", "b7" * 32),
    ("tenant", "remove", "--tenant-id", "zz" * 32),
    ("tenant", "edit", "b7" * 32),
    ("tenant", "edit", "b7" * 32, "--max-agents", "many"),
    ("agent", "show", "x"),
    ("edge", "show", "x"),
    ("service", "list", "--kind", "http"),
    ("tenant", "list", "--limit", "0"),
]  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A tenant with one agent and one service, and an edge."""

    hub: CommandedHub
    invite: InviteOut
    agent: NodeKey
    edge: NodeKey


@pytest.fixture(scope="module")
def published(hub: CommandedHub) -> Published:
    async def publish() -> Published:
        agent = new_key()
        async with hub.client() as client:
            invite = await client.invites.create(InviteIn(name="views", hostnames=[HOST]))
            token = InviteToken.decode(invite.token)
            await client.bootstrap(token, agent, "home")
            await client.apply_desired_state(tenant_of(token), state(HOST, group="home"))
            made = await client.edge_invites.create("rome")
            edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
            await client.register_edge(edge, registration(edge))
        return Published(hub, invite, agent, edge)

    return asyncio.run(publish())


def test_a_tenant_is_listed_and_shown(published: Published) -> None:
    hub, tenant_id = published.hub, published.invite.tenant_id.hex()
    lines = hub.stdout_of("tenants", "list", "--hostname", HOST).splitlines()
    displayed = hub.stdout_of("tenant", "show", tenant_id)

    assert lines[0].split() == ["TENANT", "NAME", "STATUS", "AGENTS", "OPEN", "HOSTNAMES"]
    assert lines[1].split() == [tenant_id, "views", "active", "0", "0", HOST]
    assert "limits     the hub's\n" in displayed
    assert published.agent.public.hex() in displayed


def test_a_tenant_is_edited_and_its_defaults_come_back(published: Published) -> None:
    hub, tenant_id = published.hub, published.invite.tenant_id.hex()
    limited = hub.json_of("tenant", "edit", tenant_id, "--max-services", "3", "--name", "other")
    back = hub.json_of("tenant", "edit", tenant_id, "--max-services", "default", "--name", "views")

    assert (limited["name"], limited["limits"]["services"]) == ("other", 3)
    assert (back["name"], back["limits"]["services"]) == ("views", None)


def test_a_tenant_rests_comes_back_and_ends(hub: CommandedHub) -> None:
    made = hub.json_of("invite", "create", "--hostnames", "life.example.eu")
    tenant_id = made["tenant_id"]
    reported = [
        hub.stdout_of("tenant", "suspend", tenant_id),
        hub.stdout_of("tenant", "list", "--status", "suspended").splitlines()[1].split()[2] + "\n",
        hub.stdout_of("tenant", "resume", "--tenant-id", tenant_id),
        hub.stdout_of("tenant", "remove", "--tenant-id", tenant_id),
    ]

    assert reported == [
        f"suspended {tenant_id}\n",
        "suspended\n",
        f"resumed {tenant_id}\n",
        f"removed {tenant_id}\n",
    ]
    assert hub.json_of("tenant", "show", tenant_id)["status"] == "revoked"


def test_services_and_routes_are_listed_and_shown(published: Published) -> None:
    hub, tenant_id = published.hub, published.invite.tenant_id.hex()
    key = f"https:{HOST}"
    service = hub.stdout_of("service", "list", "--group", "home").splitlines()[1].split()
    route = hub.stdout_of("routes", "list", "--tenant-id", tenant_id).splitlines()[1].split()

    assert hub.stdout_of("service", "list").splitlines()[0].split()[-2:] == ["TENANT", "LISTENERS"]
    assert service == [key, HOST, "passthrough", "home", "0", "0", tenant_id[:16]]
    assert [route[0], route[4]] == [key, tenant_id]
    assert hub.json_of("service", "show", key)["groups"] == ["home"]
    assert "0 open of 0 connections" in hub.stdout_of("service", "show", key)
    assert hub.json_of("route", "show", key)["tenant_id"] == tenant_id
    assert hub.stdout_of("service", "list", "--group", "nobody") == "Nothing is published.\n"


@pytest.mark.parametrize(("http2", "text"), [(False, "terminate"), (True, "terminate (HTTP/2)")])
def test_http_2_stands_beside_the_end_of_tls(text: str, *, http2: bool) -> None:
    item = RouteItem(
        key="https:a.eu",
        kind="https",
        name="a.eu",
        port=None,
        tls_mode="terminate",
        tenant_id=bytes(32),
        revision=1,
        http2=http2,
    )

    assert format_tls(item) == text


def test_agents_are_listed_and_shown(published: Published) -> None:
    hub, agent_id = published.hub, published.agent.public.hex()
    known = hub.json_of("agent", "list", "--tenant-id", published.invite.tenant_id.hex())["agents"]
    live = hub.stdout_of("agents", "list", "--live")
    displayed = hub.stdout_of("agent", "show", agent_id)

    assert [(item["agent_id"], item["group"]) for item in known] == [(agent_id, "home")]
    assert live == "No agent is known.\n"
    assert "live       no\n" in displayed
    assert "displaced  no\n" in displayed
    assert "weight     unknown\n" in displayed
    assert "failing    none\n" in displayed


@pytest.mark.parametrize(("is_displaced", "cell"), [(True, "yes"), (False, "")])
def test_a_list_of_agents_shows_who_is_displaced(cell: str, *, is_displaced: bool) -> None:
    item = AgentItem(
        agent_id=b"a" * 32,
        tenant_id=b"t" * 32,
        group="home",
        is_live=True,
        first_seen_at=NOW,
        last_seen_at=NOW,
        live_since=NOW,
        edges=[],
        software="agent/1",
        connections_active=0,
        is_displaced=is_displaced,
    )
    rows = agent_rows([item])

    assert dict(zip(rows.columns, rows.rows[0], strict=True))["DISPLACED"] == cell


@pytest.mark.parametrize(
    ("way", "reason", "text"),
    [
        ("lane", None, "lane: 3 in use, 2 idle, 8 wanted"),
        ("tls_lane", None, "tls lane: 3 in use, 2 idle, 8 wanted"),
        (
            "stream",
            "none_came",
            "stream: no lane has come yet; is TCP to the edge's port of sessions",
        ),
        ("stream", "lost", "stream: its lanes were lost"),
        ("stream", "not_wanted", "stream: it takes no more clients"),
        (None, None, "its edge does not tell"),
        (None, "none_came", "none: no lane has come yet"),
    ],
)
def test_the_way_of_a_session_is_told_with_its_reason(
    way: Way | None, reason: WayReason | None, text: str
) -> None:
    session = AgentSession(
        edge_id=b"e" * 32,
        way=way,
        way_reason=reason,
        connections_active=3,
        lanes_idle=2,
        lanes_in_use=3,
        lanes_wanted=8,
    )

    assert format_session(session).startswith(text)


@pytest.mark.parametrize(
    ("weight", "text"), [(None, "unknown"), (100, "100"), (0, "0: its group is on standby")]
)
def test_the_weight_of_a_group_is_a_number_or_that_it_is_on_standby(
    weight: int | None, text: str
) -> None:
    assert format_weight(weight) == text


def edge_of(**changes: Any) -> EdgeItem:
    facts = {
        "node_id": b"e" * 32,
        "name": "rome",
        "addresses": [],
        "certificate_sha256": b"c" * 32,
        "version": "1",
        "last_seen_ms": 0,
        "last_seen_at": NOW,
        "is_live": True,
        "sessions": 0,
        "traffic": Traffic(),
    }
    return EdgeItem.model_validate(facts | changes)


@pytest.mark.parametrize(
    ("is_live", "unstable", "text"),
    [
        (False, 0, "no"),
        (True, 0, "yes"),
        (True, 2, "yes, 2 of its workers keep ending"),
    ],
)
def test_an_edge_whose_workers_keep_ending_is_told(
    unstable: int, text: str, *, is_live: bool
) -> None:
    edge = edge_of(is_live=is_live, workers_unstable=unstable)

    assert edge_row(edge)[3] == text


@pytest.mark.parametrize(
    ("engine", "text"), [("compiled", "compiled"), ("python", "python"), (None, "")]
)
def test_an_edge_is_listed_with_its_engine_where_that_is_known(
    engine: EngineName | None, text: str
) -> None:
    row = edge_row(edge_of(engine=engine))

    assert dict(zip(COLUMNS, row, strict=True))["ENGINE"] == text


@pytest.mark.parametrize(
    ("skew_ms", "cell", "sentence"),
    [
        (None, "", "unknown"),
        (-4_999, "", "as the hub's"),
        (241_000, "241 s ahead", "241 s ahead of the hub's, which refuses more than 5 min"),
        (-5_000, "5 s behind", "5 s behind the hub's, which refuses more than 5 min"),
    ],
)
def test_a_clock_that_is_wrong_is_told(skew_ms: int | None, cell: str, sentence: str) -> None:
    row = edge_row(edge_of(clock_skew_ms=skew_ms))

    assert dict(zip(COLUMNS, row, strict=True))["CLOCK"] == cell
    assert describe_skew(skew_ms) == sentence


def test_edges_are_listed_and_shown(published: Published) -> None:
    hub, edge_id = published.hub, published.edge.public.hex()
    rows = hub.stdout_of("edge", "list").splitlines()
    displayed = hub.stdout_of("edges", "show", edge_id)

    assert rows[0].split()[3:8] == ["LIVE", "SESSIONS", "OPEN", "IN", "OUT"]
    assert any(row.startswith(f"{edge_id}  rome  127.0.0.1:443  no    0  ") for row in rows)
    assert "live        no\n" in displayed
    assert "traffic     0 open of 0 connections, 0 B in, 0 B out\n" in displayed
    assert "engine      unknown\n" in displayed


def test_a_list_is_whole_unless_fewer_are_asked_for(published: Published) -> None:
    published.hub.json_of("invite", "create", "--hostnames", "second.example.eu")
    whole = published.hub.json_of("tenant", "list")["tenants"]
    first = published.hub.json_of("tenant", "list", "--limit", "1")["tenants"]

    assert len(whole) > 1
    assert [each["tenant_id"] for each in first] == [whole[0]["tenant_id"]]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_cannot_be_meant_is_a_usage_error(
    hub: CommandedHub, arguments: tuple[str, ...]
) -> None:
    said = hub.run(*arguments)

    assert said.exit_code == 2
    assert said.stdout == ""
    assert said.stderr


@pytest.mark.parametrize(
    "arguments",
    [("tenant", "show", "b7" * 32), ("agent", "show", "b7" * 32), ("edge", "show", "b7" * 32),
     ("service", "show", "https:no.example.eu"), ("route", "show", "tcp:2")],
    ids=" ".join,
)  # fmt: skip
def test_what_is_not_there_is_told_so(hub: CommandedHub, arguments: tuple[str, ...]) -> None:
    said = hub.run(*arguments, "--output", "yaml")

    assert said.exit_code == 1
    assert json.loads(said.stderr)["error"]["code"] == "not_found"


def test_both_the_singular_and_the_plural_are_right_and_one_is_shown() -> None:
    listed = towonel("--help").stdout
    plural = towonel("tenants", "--help")

    assert "  tenant " in listed
    assert "  tenants " not in listed
    assert plural.exit_code == 0
