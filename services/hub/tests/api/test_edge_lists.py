"""List of edges that agents get, and how edges and operators hear of what changed in it."""

import asyncio

from support.hub import TestHub, new_key, registration

from towonel.identity.keys import NodeKey
from towonel.wire.tokens import EdgeToken


async def invited(hub: TestHub, name: str) -> tuple[NodeKey, str]:
    """Return the key of an edge that may register, and its invite."""
    made = await hub.client().edge_invites.create(name)
    return NodeKey.from_seed(EdgeToken.decode(made.token).seed), made.invite_id


async def test_agents_and_operators_learn_the_name_and_the_region_of_an_edge(hub: TestHub) -> None:
    client, (edge, _) = hub.client(), await invited(hub, "rome")
    placed = registration(edge).model_copy(update={"region": "eu"})
    await client.register_edge(edge, placed)
    await client.register_edge(hub.context.keys.node, registration(hub.context.keys.node))
    answer = await client.bootstrap(await hub.invite("a.eu"), new_key(), "g")

    assert {(it.name, it.region) for it in answer.edges} == {("rome", "eu"), ("hub", None)}
    assert (await client.edges.get(edge.public)).region == "eu"


async def test_edges_hear_of_a_new_list_when_it_changes_and_of_nothing_else(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    await client.register_edge(node, registration(node))

    async def digest() -> bytes | None:
        return (await client.follow_routes(node, None)).edge_list

    (edge, invite_id), start = await invited(hub, "rome"), await digest()
    await client.register_edge(edge, registration(edge))
    joined = await digest()
    newer = registration(edge).model_copy(update={"version": "2"})
    await client.register_edge(edge, newer)
    same = await digest()
    await client.register_edge(edge, newer.model_copy(update={"addresses": ["192.0.2.1:1"]}))
    moved = await digest()
    await client.edge_invites.revoke(invite_id)
    left = await digest()

    assert start is not None
    assert joined not in {start, moved}
    assert same == joined
    assert left == start


async def test_an_edge_that_waits_for_routes_hears_at_once_of_one_that_joins(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    edge, _ = await invited(hub, "rome")
    known = await client.follow_routes(node, None)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(client.follow_routes(node, known.revision, 25))
        await asyncio.sleep(0)
        await client.register_edge(edge, registration(edge))

    found = waiting.result()
    assert (found.routes, found.snapshot) == ((), False)
    assert found.edge_list not in {None, known.edge_list}
