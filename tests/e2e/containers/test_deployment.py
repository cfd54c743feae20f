"""Our images as one deployment, with real Postgres, Redis and clients, and an agent behind NAT."""

import asyncio
import os
from functools import partial

import pytest
from support.container_stack import EDGE_PORT, Deployment, fetch_as_guest, reaches
from support.containers import PYTHON, address_in, exit_code, health, is_ready
from support.stack import until
from support.tcp_origins import port_service
from support.udp_origins import is_answered, udp_client

UDP_ECHO = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 7))
while True:
    sock.sendto(*sock.recvfrom(65535))
"""
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("deployment")]


async def test_an_agent_behind_nat_publishes_and_its_clients_are_served(
    deployment: Deployment, hostname: str
) -> None:
    origin = deployment.start_origin("home", hostname)
    token = (await deployment.invite(hostname)).token
    agent = await deployment.start_agent(token, hostname, "home", health_s=2)
    await deployment.answers(hostname, "home")
    edge = address_in(deployment.edges[EDGE_PORT], deployment.public)

    assert not reaches(origin, edge, EDGE_PORT)  # only by its public address
    assert reaches(origin, deployment.address, EDGE_PORT)
    assert not agent.ports
    await until(lambda: health(agent) == "healthy", 60)
    agent.remove(force=True)  # its checks take time from the other tests


async def test_the_origin_learns_the_address_of_a_client_by_proxy_v2(
    deployment: Deployment, hostname: str
) -> None:
    deployment.start_origin("proxied", hostname, proxied=True)
    token = (await deployment.invite(hostname)).token
    await deployment.start_agent(token, hostname, "proxied", proxy_protocol="v2")
    await deployment.answers(hostname, "proxied")
    answer, own = fetch_as_guest(deployment, deployment.public, f"edge-{EDGE_PORT}", hostname)

    assert answer == f"proxied {own}"


async def test_datagrams_reach_an_origin_at_home_and_come_back(
    deployment: Deployment, hostname: str
) -> None:
    engine, port = deployment.engine, 5353
    engine.start(PYTHON, "echo", network=deployment.home, command=["python3", "-c", UDP_ECHO])
    service = port_service("echo", 7, port) | {"origin": "echo:7"}
    token = (await deployment.invite(hostname)).token
    await deployment.start_agent(token, hostname, "echo", datagrams=[service])
    edge = address_in(deployment.edges[EDGE_PORT], deployment.public)
    await until(partial(is_answered, port, edge))

    with udp_client(port, edge) as client:
        for size in (1, 1_452, 60_000):
            data = os.urandom(size)
            assert await client.ask(data) == data


async def test_a_replica_that_is_killed_is_missed_by_nobody(
    deployment: Deployment, hostname: str
) -> None:
    deployment.start_origin("replicated", hostname)
    token = (await deployment.invite(hostname)).token
    first = await deployment.start_agent(token, hostname, "replicated")
    second = await deployment.start_agent(token, hostname, "replicated")
    await deployment.answers(hostname, "replicated")
    first.kill()
    answers = [await deployment.ask(hostname) for _ in range(20)]
    second.kill()

    assert all(answer.startswith("replicated ") for answer in answers), answers
    await deployment.refuses(hostname)


async def test_clients_are_served_while_the_hub_is_away_and_by_an_edge_that_restarts_meanwhile(
    deployment: Deployment, hostname: str
) -> None:
    edge = deployment.edges[EDGE_PORT]
    deployment.start_origin("enduring", hostname)
    await deployment.start_agent((await deployment.invite(hostname)).token, hostname, "enduring")
    await deployment.answers(hostname, "enduring")
    deployment.hub.stop()

    assert exit_code(deployment.hub) == 0
    assert (await deployment.ask(hostname)).startswith("enduring ")
    edge.restart()
    await is_ready(edge, "towonel-edge")
    await deployment.answers(hostname, "enduring")

    deployment.hub.start()
    await is_ready(deployment.hub, "towonel-hub")
    await deployment.answers(hostname, "enduring")


async def test_an_edge_that_is_lost_is_linked_to_again_and_a_second_one_serves_meanwhile(
    deployment: Deployment, hostname: str
) -> None:
    second = EDGE_PORT + 1000
    deployment.start_origin("twice", hostname)
    await deployment.start_edge(second)
    await deployment.start_agent((await deployment.invite(hostname)).token, hostname, "twice")
    await deployment.answers(hostname, "twice")
    await deployment.answers(hostname, "twice", second)
    deployment.edges[EDGE_PORT].kill()

    assert (await deployment.ask(hostname, second)).startswith("twice ")
    deployment.edges[EDGE_PORT].start()
    await deployment.answers(hostname, "twice")


async def test_a_revoked_invite_ends_routes_and_the_agent(
    deployment: Deployment, hostname: str
) -> None:
    deployment.start_origin("revoked", hostname)
    invite = await deployment.invite(hostname)
    agent = await deployment.start_agent(invite.token, hostname, "revoked")
    await deployment.answers(hostname, "revoked")
    async with deployment.operator() as client:
        await client.invites.revoke(invite.invite_id)

    await deployment.refuses(hostname)
    await until(lambda: exit_code(agent) is not None, 90)
    assert exit_code(agent) == 1


async def test_agents_and_edges_let_a_client_finish_and_end_with_0_when_they_are_stopped(
    deployment: Deployment, hostname: str
) -> None:
    edge = deployment.edges[EDGE_PORT]
    deployment.start_origin("last", hostname)
    agent = await deployment.start_agent(
        (await deployment.invite(hostname)).token, hostname, "last"
    )
    await deployment.answers(hostname, "last")
    reader, writer = await asyncio.open_connection(
        *(deployment.address, EDGE_PORT),
        ssl=deployment.certificates.client(),
        server_hostname=hostname,
    )
    stops = [
        asyncio.create_task(asyncio.to_thread(each.stop, timeout=60)) for each in (agent, edge)
    ]
    await until(lambda: all(b"process.stop_requested" in one.logs() for one in (agent, edge)))
    writer.write(b"who\n")
    answer = await reader.readline()
    writer.close()
    await asyncio.wait(stops)

    assert answer.startswith(b"last ")
    assert (exit_code(agent), exit_code(edge)) == (0, 0)
