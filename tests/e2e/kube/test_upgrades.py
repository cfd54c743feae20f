"""The charts of an older commit are upgraded to these, rolled back, and removed: nothing is lost, and nothing is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kube_stack import WORKLOADS, Releases, older_charts, releases

pytestmark = pytest.mark.timeout(1200)

# In the order of docs/operations.md: hub first, then edges, then agents.
ORDER = ("hub", "edge", "agent")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Releases]:
    with releases(tmp_path) as made:
        yield made


def upgrade(stack: Releases) -> None:
    for component in ORDER:
        # What changed in a chart may leave its pods as they are: a note replaces them all.
        stack.upgrade(component, podAnnotations={"charts": "new"})


def roll_back(stack: Releases) -> None:
    for component in reversed(ORDER):
        stack.space.helm("rollback", f"towonel-{component}", "--wait", "--timeout", "4m")
        stack.space.settle(WORKLOADS[component])


def test_older_charts_are_upgraded_rolled_back_and_removed(stack: Releases, tmp_path: Path) -> None:
    at_first = stack.space.names()
    stack.install(older_charts(tmp_path))
    keys = stack.space.get("secret", "towonel-hub-keys")[0]["data"]
    with stack.load("older charts upgraded to these") as upgraded:
        upgrade(stack)
    for component in ORDER:
        stack.test(component)
    with stack.load("rolled back to the older charts") as rolled_back:
        roll_back(stack)
    kept = stack.space.get("secret", "towonel-hub-keys")[0]["data"]
    for component in reversed(ORDER):
        stack.space.helm("uninstall", f"towonel-{component}", "--wait")
    stack.space.kubectl("delete", "pod/origin", "pod/clients", "service/origin")
    stack.space.kubectl("wait", "--for=delete", "pod", "--all", "--timeout=120s")

    assert (upgraded.failed, upgraded.failed_of_hub) == ({}, 0)
    assert (rolled_back.failed, rolled_back.failed_of_hub) == ({}, 0)
    assert kept == keys
    own = {"Secret/edges", "Secret/invite"}
    assert stack.space.names() - at_first == own | {"Secret/towonel-hub-keys"}
