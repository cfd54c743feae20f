"""The umbrella chart, on SQLite: installed, tested, upgraded with agents, rolled back, and removed without leftovers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kube import Namespace, namespace
from support.kube_stack import make_token

pytestmark = pytest.mark.timeout(900)

RELEASE, CHART = "towonel", "towonel"


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    with namespace(tmp_path, volumes=2) as made:
        yield made


def values(space: Namespace) -> dict[str, Any]:
    return {
        "hub": {
            "publicUrl": f"http://towonel-hub.{space.name}.svc:8443",
            "keepOnUninstall": False,
        },
        "edge": {
            "advertisedAddresses": [f"towonel-edge-0.{space.name}.svc:443"],
            "service": {"type": "ClusterIP"},
        },
    }


def with_agents(space: Namespace) -> dict[str, Any]:
    """Return the values once the hub has made an invite, which is a Secret then."""
    token = make_token(space, "invites", name="home", hostnames=["app.example.eu"])
    space.put("Secret", "invite", token=token)
    # The hub speaks no TLS: agents publish it, and the test that connects to it by TLS is left out.
    service = {"hostname": "app.example.eu", "origin": f"{RELEASE}-hub:8443"}
    agent = {"enabled": True, "token": {"existingSecret": "invite"}, "services": [service]}
    return values(space) | {"agent": agent | {"hub": {"allowInsecure": True}}}


def check(space: Namespace) -> None:
    """Have `helm test` try the hub, and send a request through the edge."""
    space.test(RELEASE, f"{RELEASE}-hub-test", f"{RELEASE}-edge-test")


def keys(space: Namespace) -> Any:
    return space.get("secret", f"{RELEASE}-hub-keys")[0]["data"]


def test_the_whole_lives_and_ends_in_a_cluster(space: Namespace) -> None:
    at_first = space.names()
    space.deploy("install", CHART, values(space))
    made = keys(space)
    space.deploy("upgrade", CHART, with_agents(space))
    check(space)
    space.helm("rollback", RELEASE, "--wait", "--timeout=4m")
    check(space)
    kept = keys(space)
    space.helm("uninstall", RELEASE, "--wait")
    space.kubectl("wait", "--for=delete", "pod", "--all", "--timeout=120s")

    assert kept == made
    assert space.names() - at_first == {"Secret/invite"}
