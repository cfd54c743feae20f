"""Rivals and flapping programs: tenants that want the same, an agent and edges that come and go, a hub that restarts."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support.edge_fleet import digest_of
from support.hub import tenant_of
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, until

from towonel.api.invites import HostnamesIn, InviteOut
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.edge.core.route_table import RouteTable
from towonel.edge.snapshot import SNAPSHOT_FILE, decode
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Denied, ProtocolError, Unavailable
from towonel.wire.tokens import EdgeToken, InviteToken


@dataclass
class Rival:
    """Tenant that wants a name and a port that another one wants, too."""

    stack: Stack
    invite: InviteOut
    name: str
    port: int
    won: int = 0

    async def fight(self) -> None:
        """Try to get both, publish them, and let go."""
        async with self.stack.operator() as hub:
            with contextlib.suppress(Denied, Unavailable):
                await hub.invites.add_hostnames(
                    self.invite.invite_id, HostnamesIn(hostnames=[self.name])
                )
                await self._publish(hub, ServiceIn(kind="https", name=self.name))
                self.won += 1
            with contextlib.suppress(Denied, Unavailable):
                await self._publish(hub, ServiceIn(kind="tcp", name="port", port=self.port))
                self.won += 1
            await self.let_go(hub)

    async def let_go(self, hub: HubClient) -> None:
        with contextlib.suppress(Denied, Unavailable):
            await hub.invites.remove_hostname(self.invite.invite_id, self.name)
        with contextlib.suppress(Denied, Unavailable):
            await self._publish(hub)

    async def wins(self, other: "Rival") -> bool:
        """Publish the port, which the other one lets go, and return whether both could be done."""
        async with self.stack.operator() as hub:
            await other.let_go(hub)
            try:
                await self._publish(hub, ServiceIn(kind="tcp", name="port", port=self.port))
            except (Denied, Unavailable):
                return False
        return True

    async def _publish(self, hub: HubClient, *services: ServiceIn) -> None:
        tenant = tenant_of(InviteToken.decode(self.invite.token))
        await hub.apply_desired_state(tenant, DesiredState(group="g", services=list(services)))


@dataclass
class Count:
    """What edges and an agent hold: descriptors, and processes that they have started."""

    descriptors: int
    workers: int

    @classmethod
    def of(cls, *programs: Program) -> "Count":
        own = [program for program in programs if isinstance(program, OwnProcess)]
        assert len(own) == len(programs)
        return cls(
            sum(program.count_descriptors() for program in own),
            sum(len(program.workers()) for program in own),
        )


@dataclass
class Ended:
    """Programs that have ended, of which no process may be left."""

    groups: list[int] = field(default_factory=list)

    async def end(self, program: Program, *, killed: bool) -> None:
        assert isinstance(program, OwnProcess)
        self.groups.append(program.process.pid)
        await (program.kill() if killed else program.stop())

    def is_gone(self) -> bool:
        """Whether none of them, and no worker of theirs, runs any more."""
        return not any(map(_has_group, self.groups))


def _has_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def digest_on_disk(edge: Node[Program]) -> str:
    """Return the digest of the table that an edge has saved, empty where it is being written."""
    file = Path(edge.environ["TOWONEL_DATA_DIR"]) / "edge" / SNAPSHOT_FILE
    table = RouteTable()
    try:
        table.apply(decode(file.read_bytes()).routes)
    except (OSError, ProtocolError):
        return ""
    return digest_of(table)


async def digest_of_hub(stack: Stack, token: str) -> str:
    """Return the digest of the table that the hub has for the edge of a token."""
    key, table = NodeKey.from_seed(EdgeToken.decode(token).seed), RouteTable()
    async with HubClient(stack.hub_url) as hub:
        table.apply(await hub.follow_routes(key, None))
    return digest_of(table)


async def restart_hub(stack: Stack) -> None:
    """End the hub, and start it again."""
    assert stack.hub
    await stack.hub.program.stop()
    await stack.restart(stack.hub)


async def settles(measure: Callable[[], Count], before: Count, spare: int) -> None:
    """Wait until no more is held than before, and a few descriptors of connections that come and go."""
    await until(
        lambda: (
            (now := measure()).workers == before.workers
            and now.descriptors <= before.descriptors + spare
        ),
        40.0,
    )
