"""A Postgres that is put back to an older copy: revisions come again, with other changes."""

import asyncio
import signal
from pathlib import Path

import pytest
from support import postgres
from support.hub import state, tenant_of
from support.programs import OwnProcess, Program, own_processes
from support.replicas import on_postgres
from support.stack import Node, Stack, until

from towonel.edge.snapshot import SNAPSHOT_FILE, decode
from towonel.wire.tokens import InviteToken

pytestmark = pytest.mark.processes


async def publish(stack: Stack, hostname: str) -> str:
    """Publish a hostname; returns the id of its invite."""
    made = await stack.new_invite(hostname)
    async with stack.operator() as client:
        tenant = tenant_of(InviteToken.decode(made.token))
        await client.apply_desired_state(tenant, state(hostname))
    return made.invite_id


async def revoke(stack: Stack, invite_id: str) -> int:
    """Revoke an invite; returns the revision of that."""
    async with stack.operator() as client:
        await client.invites.revoke(invite_id)
        return (await client.routes.list()).revision


def set_frozen(edge: Node[Program], *, frozen: bool) -> None:
    assert isinstance(edge.program, OwnProcess)
    edge.program.signal(signal.SIGSTOP if frozen else signal.SIGCONT)


def saved_names(stack: Stack) -> set[str]:
    """The hostnames in the edge's file."""
    data = (stack.folder / "edge" / SNAPSHOT_FILE).read_bytes()
    return {route.name for route in decode(data).routes.routes}


async def test_an_edge_that_was_away_meanwhile_gets_what_there_is_now(tmp_path: Path) -> None:
    with postgres.running(durable=True) as server:
        name = str(server.database().url.database)
        async with own_processes(tmp_path) as runner:
            stack = Stack(runner, tmp_path / "state")
            hub = await stack.start_hub(**on_postgres(server.dsn(name)))
            one, two = await publish(stack, "one.eu"), await publish(stack, "two.eu")
            edge = await stack.start_edge()  # whose registration is a revision
            await hub.program.stop()
            await asyncio.to_thread(server.copy, name, "older")
            await stack.restart(hub)
            undone = await revoke(stack, one)
            await until(stack.edges_are_up_to_date)
            await until(lambda: saved_names(stack) == {"two.eu"})

            set_frozen(edge, frozen=True)
            await hub.program.stop()
            await asyncio.to_thread(server.put_back, name, "older")
            await stack.restart(hub)
            again = await revoke(stack, two)
            set_frozen(edge, frozen=False)

            assert again == undone
            await until(lambda: saved_names(stack) == {"one.eu"})
