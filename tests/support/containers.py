"""Containers of the tests: programs of our images, and networks that keep an agent and its edge apart.

    clients ─── public: hub, edges ──┐ published at the public address
                                     │ translated both ways (NAT)
                home: agents, origins ┘

Engines drop what goes from one of their networks to another. One rule lets pass what was sent to a published port of
the public address, in the sender's translation: the agent has no other way to an edge, and nothing has one to it.
"""

import contextlib
import ipaddress
import subprocess
import uuid
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool
from support.stack import until

READY_S = 120.0  # on a machine with much else to do
PYTHON = "python:3.13-slim-trixie"
NAT_RULE = ("DOCKER-USER", "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT")


@dataclass(frozen=True)
class Ended:
    """Outcome of a container that ran to its end."""

    code: int
    output: str


@dataclass
class Engine:
    """A Docker engine, and what was made with it, which ends with it."""

    client: docker.DockerClient = field(default_factory=docker.from_env)
    mark: str = field(default_factory=lambda: f"towonel-{uuid.uuid4().hex[:8]}")
    exits: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self, image: str, name: str = "", **options: Any) -> Container:
        """Start a container; `name` is what others of its network call it."""
        network = options.pop("network", None)
        if network is not None and not isinstance(network, str):
            options["network"] = network.name
            aliases = self.client.api.create_endpoint_config(aliases=[name] if name else [])
            options["networking_config"] = {network.name: aliases}
        elif network is not None:
            options["network_mode"] = network
        container = self.client.containers.create(image, detach=True, **options)
        self.exits.callback(remove, container)
        container.start()
        return container

    def run(self, image: str, command: list[str] | None = None, **options: Any) -> Ended:
        """Run a container to its end."""
        container = self.start(image, command=command, **options)
        code = container.wait(timeout=60)["StatusCode"]
        return Ended(code, container.logs().decode())

    def make_network(self, name: str) -> Network:
        """Return a network of its own, with a subnet that no other one has."""
        taken = [
            ipaddress.ip_network(pool["Subnet"])
            for network in self.client.networks.list()
            for pool in network.attrs["IPAM"]["Config"] or ()
        ]
        wanted = ipaddress.ip_network("172.30.0.0/15").subnets(new_prefix=24)
        for subnet in wanted:
            if any(subnet.overlaps(each) for each in taken):
                continue
            pool = IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))
            with contextlib.suppress(
                docker.errors.APIError
            ):  # another process may take it just now
                network = self.client.networks.create(
                    f"{self.mark}-{name}", driver="bridge", ipam=IPAMConfig(pool_configs=[pool])
                )
                self.exits.callback(network.remove)
                return network
        raise AssertionError("no subnet is left")

    def make_volume(self) -> str:
        """Return the name of a new volume."""
        volume = self.client.volumes.create(f"{self.mark}-{uuid.uuid4().hex[:8]}")
        self.exits.callback(volume.remove, force=True)
        return str(volume.name)


def remove(container: Container) -> None:
    """Remove a container, running or not."""
    with contextlib.suppress(docker.errors.NotFound):
        container.remove(force=True, v=True)


def gateway(network: Network) -> str:
    """Return this machine's address in a network: the public one, of ports that are published there."""
    network.reload()
    return str(network.attrs["IPAM"]["Config"][0]["Gateway"])


def address_in(container: Container, network: Network) -> str:
    """Return a container's own address in a network."""
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"])


def execute(
    container: Container, *command: str, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run a command in a running container."""
    done = container.exec_run(list(command), environment=dict(environment or {}))
    assert isinstance(done.output, bytes)  # it is no stream
    return Ended(done.exit_code or 0, done.output.decode())


def health(container: Container) -> str:
    """Return what the health check of the image found last: starting, healthy or unhealthy."""
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def exit_code(container: Container) -> int | None:
    """Return the exit code of a container that has ended; None while it runs."""
    container.reload()
    state = container.attrs["State"]
    return None if state["Running"] else int(state["ExitCode"])


async def is_ready(container: Container, program: str, within_s: float = READY_S) -> None:
    """Wait until a program says that it is ready, by its health check; an end says what it logged."""

    def check() -> bool:
        assert exit_code(container) is None, container.logs().decode()
        return execute(container, *program.split(), "--health").code == 0

    await until(check, within_s)


@contextlib.contextmanager
def translation() -> Generator[None]:
    """Let networks reach published ports of one another, translated, while the context lasts.

    Raises:
        CalledProcessError: this process is not root, or there is no such chain.
    """
    subprocess.run(("iptables", "-w", "-I", *NAT_RULE), check=True)
    try:
        yield
    finally:
        subprocess.run(("iptables", "-w", "-D", *NAT_RULE), check=True)


@contextlib.contextmanager
def running_engine() -> Generator[Engine]:
    """Connect to the engine; everything that is made with it is removed when the context ends."""
    engine = Engine()
    with contextlib.closing(engine.client), engine.exits:
        yield engine
