"""Edges as a DaemonSet: one on each node, which agents reach at the node's own address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kube import Namespace, kubectl, namespace
from support.kube_stack import make_token

pytestmark = pytest.mark.timeout(600)

PORT = 8453  # of the nodes: 443 may be taken


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    """Namespace without the restricted standard, which allows no ports of nodes."""
    with namespace(tmp_path, volumes=1, enforce=False) as made:
        yield made


def test_an_agent_reaches_the_edge_of_each_node_at_its_address(space: Namespace) -> None:
    hub = f"http://towonel-hub.{space.name}.svc:8443"
    space.deploy("install", "towonel-hub", {"publicUrl": hub})
    nodes = kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
    tokens = {node: make_token(space, "edge-invites", name=node) for node in nodes}
    space.put("Secret", "edges", **tokens)
    edges = {
        "kind": "DaemonSet",
        "hostPort": PORT,
        "identity": {"tokensSecret": "edges"},
        "hub": {"url": hub, "allowInsecure": True},
        "advertisedAddresses": [f"$(HOST_IP):{PORT}"],
        "test": {"hubKeysSecret": "towonel-hub-keys"},
    }
    space.deploy("install", "towonel-edge", edges)

    space.settle("daemonset/towonel-edge")
    assert space.get("daemonset", "towonel-edge")[0]["status"]["numberReady"] == len(nodes)
    space.test("towonel-edge")  # its agent knows no other address
