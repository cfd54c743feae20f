"""Deployment of our images: hub with Postgres and Redis, edges and clients in public, agents and origins at home."""

import asyncio
import json
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.models.containers import Container
from docker.models.networks import Network
from support.containers import PYTHON, READY_S, Engine, execute, gateway, is_ready
from support.origins import Certificates
from support.stack import until

from towonel.api.invites import InviteIn, InviteOut
from towonel.client.hub import HubClient

SUPPORT = Path(__file__).parent
HUB_PORT, EDGE_PORT = 8443, 443


@dataclass
class Deployment:
    """One hub and what belongs to it.

    Args:
        engine: runs the containers.
        certificates: of the origins; their folder is mounted into origins and clients.
        folder: it.
    """

    engine: Engine
    certificates: Certificates
    folder: Path
    public: Network = field(init=False)
    home: Network = field(init=False)
    hub: Container = field(init=False)
    edges: dict[int, Container] = field(default_factory=dict)  # by public port
    agent_options: dict[str, Any] = field(default_factory=dict)
    agent_environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.public = self.engine.make_network("public")
        self.home = self.engine.make_network("home")

    @property
    def address(self) -> str:
        """The public address."""
        return gateway(self.public)

    @property
    def hub_url(self) -> str:
        return f"http://{self.address}:{HUB_PORT}"

    async def start_hub(self) -> None:
        """Start a hub with a database and a Redis of its own."""
        password = secrets.token_hex(16)
        database = {"POSTGRES_USER": "hub", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "hub"}
        postgres = self.engine.start("postgres:17", "db", network=self.public, environment=database)
        self.engine.start("redis:8", "redis", network=self.public)
        query = ("psql", "-h", "127.0.0.1", "-U", "hub", "-c", "SELECT 1", "hub")
        environ = {"PGPASSWORD": password}
        await until(lambda: execute(postgres, *query, environment=environ).code == 0, READY_S)
        self.hub = self.engine.start(
            "towonel-hub",
            "hub",
            network=self.public,
            ports={f"{HUB_PORT}/tcp": (self.address, HUB_PORT)},
            environment={
                "TOWONEL_HUB_PUBLIC_URL": self.hub_url,
                "TOWONEL_HUB_DB_DRIVER": "postgres",
                "TOWONEL_HUB_DB_DSN": f"postgres://hub:{password}@db/hub",
                "TOWONEL_REDIS_URL": "redis://redis:6379/0",
            },
        )
        await is_ready(self.hub, "towonel-hub")

    async def start_edge(self, port: int = EDGE_PORT) -> Container:
        """Start an edge that is published at this port of the public address."""
        async with self.operator() as client:
            invite = await client.edge_invites.create(f"edge-{port}")
        edge = self.engine.start(
            "towonel-edge",
            f"edge-{port}",
            network=self.public,
            ports={f"{EDGE_PORT}/{each}": (self.address, port) for each in ("tcp", "udp")},
            environment={
                "TOWONEL_EDGE_INVITE_TOKEN": invite.token,
                "TOWONEL_EDGE_HUB_URL": f"http://hub:{HUB_PORT}",
                "TOWONEL_ALLOW_INSECURE_HUB": "true",
                "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"{self.address}:{port}",
                "TOWONEL_REDIS_URL": "redis://redis:6379/0",
            },
        )
        self.edges[port] = edge
        await is_ready(edge, "towonel-edge")
        return edge

    def start_origin(self, name: str, hostname: str, *, proxied: bool = False) -> Container:
        """Start an origin at home; it answers with its name and the client's address."""
        return start_origin(self, self.home, name, hostname, proxied=proxied)

    async def invite(self, *hostnames: str) -> InviteOut:
        async with self.operator() as client:
            return await client.invites.create(InviteIn(hostnames=list(hostnames)))

    async def start_agent(
        self,
        token: str,
        hostname: str,
        origin: str,
        *,
        health_s: int = 60,
        datagrams: Sequence[dict[str, object]] = (),
        **service: str,
    ) -> Container:
        """Start an agent at home that publishes one origin, and such UDP services."""
        published = {"hostname": hostname, "origin": f"{origin}:4443", "proxy_protocol": "none"}
        services = json.dumps([published | service])
        agent = self.engine.start(
            "towonel-agent",
            network=self.home,
            healthcheck={"interval": health_s * 1_000_000_000},  # of the image's own check, in ns
            environment=self._of_agent(token, services, json.dumps(datagrams)),
            **self.agent_options,
        )
        await is_ready(agent, "towonel-agent")
        return agent

    def _of_agent(self, token: str, services: str, datagrams: str) -> dict[str, str]:
        return {
            "TOWONEL_INVITE_TOKEN": token,
            "TOWONEL_AGENT_SERVICES": services,
            "TOWONEL_AGENT_UDP_SERVICES": datagrams,
            "TOWONEL_ALLOW_INSECURE_HUB": "true",
            **self.agent_environ,
        }

    def operator(self) -> HubClient:
        key = execute(self.hub, "cat", "/data/operator.key").output.strip()
        return HubClient(self.hub_url, operator_key=key, allow_insecure=True)

    async def ask(self, hostname: str, port: int = EDGE_PORT, command: str = "who") -> str:
        """Return what an origin answers to a client on this machine, or why nothing came."""
        return await ask(self.address, port, hostname, self.certificates.client(), command)

    async def answers(self, hostname: str, answer: str, port: int = EDGE_PORT) -> None:
        """Wait until an origin answers so, but for the client's address."""

        async def check() -> bool:
            return (await self.ask(hostname, port)).startswith(f"{answer} ")

        await until(check, READY_S)

    async def refuses(self, hostname: str, port: int = EDGE_PORT) -> None:
        """Wait until a client gets nothing any more."""

        async def check() -> bool:
            return (await self.ask(hostname, port)).startswith("nothing: ")

        await until(check, 30)


def start_origin(
    stack: Deployment, network: Network, name: str, hostname: str, *, proxied: bool = False
) -> Container:
    """Start an origin in some network."""
    chain, key = stack.certificates.files(hostname)
    command = ["python3", "/support/guest_origin.py", name, "4443"]
    command += [f"/certificates/{chain.name}", f"/certificates/{key.name}"]
    command += ["proxied"] if proxied else []
    return stack.engine.start(PYTHON, name, network=network, command=command, **mounted(stack))


def fetch_as_guest(
    stack: Deployment, network: Network, host: str, hostname: str
) -> tuple[str, str]:
    """Return what a client in a container gets, and the client's own address."""
    client = stack.engine.start(PYTHON, network=network, command=["sleep", "60"], **mounted(stack))
    client.reload()
    own = client.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    script = ("python3", "/support/guest_client.py", host, str(EDGE_PORT), hostname)
    return execute(client, *script, "/certificates/ca.pem").output.strip(), str(own)


def mounted(stack: Deployment) -> dict[str, Any]:
    """Return the options of a container that has the scripts of guests, and the certificates."""
    folders = {str(SUPPORT): "/support", str(stack.folder): "/certificates"}
    return {"volumes": {one: {"bind": at, "mode": "ro"} for one, at in folders.items()}}


async def ask(
    address: str, port: int, hostname: str, context: ssl.SSLContext, command: str = "who"
) -> str:
    """Return the line that an origin answers, or why nothing came."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(
                address, port, ssl=context, server_hostname=hostname
            )
            try:
                writer.write(f"{command}\n".encode())
                answer = await reader.readline()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError) as error:
        return f"nothing: {error!r}"
    return answer.decode().strip() or "nothing: an end"


def reaches(container: Container, host: str, port: int) -> bool:
    """Return whether a container gets a TCP connection to an address within two seconds."""
    code = f"import socket; socket.create_connection(({host!r}, {port}), 2)"
    return execute(container, "python3", "-c", code).code == 0
