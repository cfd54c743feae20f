"""List of edges that agents get, and how edges and operators hear of what changed in it."""

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
