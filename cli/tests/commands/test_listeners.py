"""Ports that edges listen on or not, in `towonel service` and `towonel status`, against a real hub."""

import asyncio
import re
from dataclasses import dataclass

import pytest
from support.commands import CommandedHub
from support.hub import registration, tenant_of
from support.polling import pauses

from towonel.api.invites import InviteIn
from towonel.api.reports import EdgeReport, ListenerReport
from towonel.api.services import DesiredState, Kind, Listener, ServiceDetail, ServiceIn
from towonel.cli.commands.service import format_listeners
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey
from towonel.wire.tokens import EdgeToken, InviteToken

IN_USE, UNAVAILABLE = "port_in_use", "port_unavailable"
DETAIL = "[Errno 98] Address already in use"


@dataclass(frozen=True)
class Reported:
    """A hub where one edge listens on a port of a service, and one does not."""

    hub: CommandedHub
    edges: list[bytes]


def report(*listeners: ListenerReport) -> EdgeReport:
    names = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")
    counts = dict.fromkeys((*names, "sessions_active"), 0)
    return EdgeReport.model_validate(
        {"version": "1", "sessions": [], "tenants": [], **counts, "listeners": [*listeners]}
    )


async def new_edge(client: HubClient, name: str) -> NodeKey:
    made = await client.edge_invites.create(name)
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
    await client.register_edge(edge, registration(edge))
    return edge


async def wait_until_reported(client: HubClient, key: str = "tcp:2222") -> None:
    """Wait until the hub has read both listeners of a service: it does so once a second."""
    async with asyncio.timeout(10):
        for pause_s in pauses():
            if len((await client.services.get(key)).listeners) == 2:
                return
            await asyncio.sleep(pause_s)


@pytest.fixture(scope="module")
def reported(hub: CommandedHub) -> Reported:
    async def publish() -> list[bytes]:
        async with hub.client() as client:
            invite = await client.invites.create(InviteIn(hostnames=["ports.example.eu"]))
            tenant = tenant_of(InviteToken.decode(invite.token))
            services = [ServiceIn(kind="tcp", name=f"s{port}", port=port) for port in (2222, 2223)]
            services.append(ServiceIn(kind="udp", name="s2222", port=2222))
            wanted = DesiredState(group="p", services=services)
            revision = (await client.apply_desired_state(tenant, wanted)).revision
            open_edge, failing = await new_edge(client, "oslo"), await new_edge(client, "bonn")
            await client.follow_routes(open_edge, revision - 1, wait_s=10)
            await client.report_edge(
                open_edge, report(*(ListenerReport(key=f"{kind}:2222") for kind in ("tcp", "udp")))
            )
            failure = ListenerReport(key="tcp:2222", code=IN_USE, detail=DETAIL)
            await client.report_edge(failing, report(failure))
            await wait_until_reported(client)
        return [open_edge.public, failing.public]

    return Reported(hub, asyncio.run(publish()))


def test_a_list_of_services_says_which_ports_are_listened_on(reported: Reported) -> None:
    lines = reported.hub.stdout_of("service", "list", "--group", "p").splitlines()[1:]

    assert [re.split(r"  +", line)[-1] for line in lines] == [
        "1 of 2 edges fails: port_in_use",
        "no edges",
        "1 edge",
    ]


def test_a_service_is_shown_with_its_edges(reported: Reported) -> None:
    displayed = reported.hub.stdout_of("service", "show", "tcp:2222")
    document = reported.hub.json_of("service", "show", "tcp:2222")
    open_edge, failing = (edge.hex() for edge in reported.edges)

    assert "listeners  1 of 2 edges fails: port_in_use\n" in displayed
    assert re.search(rf"^{open_edge}  listening$", displayed, re.MULTILINE)
    assert f"{failing}  {IN_USE}  {DETAIL}\n" in displayed
    assert {it["edge_id"]: (it["code"], it["detail"]) for it in document["listeners"]} == {
        open_edge: (None, ""),
        failing: (IN_USE, DETAIL),
    }
    assert "No edge has reported this port yet." in reported.hub.stdout_of(
        "service", "show", "tcp:2223"
    )


def test_a_service_is_shown_by_its_name_too_unless_others_have_it(reported: Reported) -> None:
    async def publish_namesake() -> None:
        async with reported.hub.client() as client:
            invite = await client.invites.create(InviteIn(hostnames=["namesake.example.eu"]))
            services = [ServiceIn(kind="tcp", name="s2222", port=2224)]
            tenant = tenant_of(InviteToken.decode(invite.token))
            await client.apply_desired_state(tenant, DesiredState(group="g", services=services))

    by_name = reported.hub.json_of("service", "show", "tcp:s2222")
    asyncio.run(publish_namesake())
    refused = reported.hub.run("service", "show", "tcp:s2222")
    unknown = reported.hub.run("service", "show", "udp:s2223")

    assert (by_name["key"], by_name["name"]) == ("tcp:2222", "s2222")
    assert refused.exit_code == 2
    assert "several services; use tcp:2222 or tcp:2224" in refused.stderr
    assert (unknown.exit_code, "not_found" in unknown.stderr) == (1, True)


def test_the_status_says_that_a_port_is_not_listened_on(reported: Reported) -> None:
    displayed = reported.hub.stdout_of("status")

    assert reported.hub.json_of("status")["services_failing"] == 1
    assert re.search(r"^services failing +1$", displayed, re.MULTILINE)
    assert re.search(r"^why failing +.*`towonel service list`$", displayed, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "codes", "text"),
    [
        ("https", [], ""),
        ("tcp", [], "no edges"),
        ("udp", [None, IN_USE], "1 of 2 edges fails: port_in_use"),
        ("tcp", [None], "1 edge"),
        ("tcp", [None, None], "2 edges"),
        ("tcp", [IN_USE], "1 edge fails: port_in_use"),
        (
            "tcp",
            [UNAVAILABLE, None, IN_USE, IN_USE],
            "3 of 4 edges fail: port_in_use, port_unavailable",
        ),
    ],
)
def test_listeners_are_counted_with_what_fails(
    kind: Kind, codes: list[str | None], text: str
) -> None:
    assert format_listeners(service(kind, codes)) == text


def test_ports_of_a_range_that_fail_are_named_and_their_edge_counts_once() -> None:
    one, two = (bytes([number]) * 32 for number in (1, 2))
    parts = [
        Listener(edge_id=one, code=None, detail="", ports="10, 13-19"),
        Listener(edge_id=one, code=IN_USE, detail="", ports="11"),
        Listener(edge_id=one, code=UNAVAILABLE, detail="", ports="12"),
        Listener(edge_id=two, code=None, detail=""),
    ]
    item = service("tcp", []).model_copy(update={"listeners": parts})

    assert format_listeners(item) == ("1 of 2 edges fails: port_in_use (11), port_unavailable (12)")


def test_a_range_is_listed_and_shown_with_its_ports(hub: CommandedHub) -> None:
    async def publish() -> None:
        async with hub.client() as client:
            invite = await client.invites.create(InviteIn(hostnames=["range.example.eu"]))
            game = ServiceIn(kind="udp", name="game", port=27015, last_port=27030)
            wanted = DesiredState(group="range", services=[game])
            token = InviteToken.decode(invite.token)
            revision = (await client.apply_desired_state(tenant_of(token), wanted)).revision
            edge = await new_edge(client, "kiel")
            await client.follow_routes(edge, revision - 1, wait_s=10)
            busy = ListenerReport(key="udp:27016-27017", code=IN_USE, detail=DETAIL)
            await client.report_edge(edge, report(ListenerReport(key="udp:27015"), busy))
            await wait_until_reported(client, "udp:27015-27030")

    asyncio.run(publish())
    (line,) = hub.stdout_of("service", "list", "--group", "range").splitlines()[1:]
    displayed = hub.stdout_of("service", "show", "udp:27015-27030")

    assert line.startswith("udp:27015-27030  game ")
    assert line.endswith("1 edge fails: port_in_use (27016-27017)")
    assert f"{IN_USE}  {DETAIL}  27016-27017\n" in displayed
    assert displayed == hub.stdout_of("service", "show", "udp:game")


def test_a_service_is_not_served_where_the_hub_is_older_and_says_so() -> None:
    item = service("udp", []).model_copy(update={"is_served": False})

    assert format_listeners(item) == "not served"


def service(kind: Kind, codes: list[str | None]) -> ServiceDetail:
    return ServiceDetail(
        key=f"{kind}:2222",
        kind=kind,
        name="ssh",
        port=2222,
        tls_mode="passthrough",
        tenant_id=b"t" * 32,
        groups=[],
        agents=[],
        listeners=[
            Listener(edge_id=bytes([number]) * 32, code=code, detail="")
            for number, code in enumerate(codes)
        ],
    )
