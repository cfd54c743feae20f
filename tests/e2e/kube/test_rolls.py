"""Under 200 requests a second, pods are replaced, added and killed, and databases restarted: what is promised holds."""

from collections.abc import Iterator

import pytest
from support.compose_project import until
from support.kube_stack import WORKLOADS, Releases, releases

AGENTS = "app.kubernetes.io/component=agent"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("kube")) as made:
        made.install()
        yield made


def starts(stack: Releases, component: str) -> dict[str, int]:
    """Return how often the program of each pod was started again by Kubernetes."""
    return {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"]
        for pod in stack.space.pods(component)
    }


def uids(stack: Releases, component: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in stack.space.pods(component)}


def readiness_of(stack: Releases, component: str) -> set[str]:
    """Return what pods are as Kubernetes sees them: {"True"} if every one is ready."""
    return {
        one["status"]
        for pod in stack.space.pods(component)
        for one in pod["status"]["conditions"]
        if one["type"] == "Ready"
    }


def are_ready(stack: Releases, component: str) -> bool:
    return readiness_of(stack, component) == {"True"}


def test_helm_test_finds_that_each_chart_works(stack: Releases) -> None:
    for component in WORKLOADS:
        stack.test(component)


def test_a_hub_becomes_three_and_no_request_is_lost(stack: Releases) -> None:
    with stack.load("hub scaled from 1 to 3") as load:
        stack.upgrade("hub", replicas=3)

    invites = [stack.readiness(pod) for pod in stack.space.pods("hub")]
    assert len(invites) == 3
    assert (load.failed, load.failed_of_hub) == ({}, 0)


@pytest.mark.parametrize("component", ["hub", "edge", "agent"])
def test_a_workload_is_replaced_and_no_request_is_lost(stack: Releases, component: str) -> None:
    before = uids(stack, component)
    with stack.load(f"{component} rolled") as load:
        stack.space.roll(WORKLOADS[component])

    assert uids(stack, component) & before == set()
    assert (load.failed, load.failed_of_hub) == ({}, 0)


@pytest.mark.parametrize("component", ["hub", "edge", "agent"])
def test_after_a_program_was_killed_all_is_as_before(stack: Releases, component: str) -> None:
    [victim, *_] = stack.space.pods(component)
    with stack.load(f"{component} killed"):
        stack.kill(victim)

    with stack.load(f"{component} killed, afterwards") as afterwards:
        stack.test("edge")

    assert (afterwards.failed, afterwards.failed_of_hub) == ({}, 0)


def test_a_pod_that_is_gone_at_once_is_replaced(stack: Releases) -> None:
    before = uids(stack, "agent")
    with stack.load("all agents deleted at once, which nothing outlives"):
        stack.space.kubectl("delete", "pod", "-l", AGENTS, "--force", "--grace-period=0")
        until(lambda: are_ready(stack, "agent") and not uids(stack, "agent") & before)

    with stack.load("all agents deleted, afterwards") as afterwards:
        stack.test("agent")

    assert (afterwards.failed, afterwards.failed_of_hub) == ({}, 0)


def test_redis_is_restarted_and_nobody_notices(stack: Releases) -> None:
    before = {each: starts(stack, each) for each in WORKLOADS}
    with stack.load("redis restarted") as load:
        stack.databases.kubectl("scale", "deployment/redis", "--replicas=0")
        until(lambda: all('"redis' in stack.readiness(pod) for pod in stack.space.pods("hub")))
        were_ready = are_ready(stack, "hub")
        stack.databases.kubectl("scale", "deployment/redis", "--replicas=1")
        until(lambda: all("redis" not in stack.readiness(pod) for pod in stack.space.pods("hub")))

    assert were_ready
    assert (load.failed, load.failed_of_hub) == ({}, 0)
    assert {each: starts(stack, each) for each in WORKLOADS} == before


def test_postgres_is_restarted_and_tunnels_go_on(stack: Releases) -> None:
    before = {each: starts(stack, each) for each in WORKLOADS}
    with stack.load("postgres away and back") as load:
        stack.databases.kubectl("scale", "statefulset/postgres", "--replicas=0")
        until(lambda: all("database" in stack.readiness(pod) for pod in stack.space.pods("hub")))
        until(lambda: readiness_of(stack, "hub") == {"False"})
        stack.databases.kubectl("scale", "statefulset/postgres", "--replicas=1")
        stack.databases.settle("statefulset/postgres")
        until(lambda: are_ready(stack, "hub"))

    assert load.failed == {}
    assert {each: starts(stack, each) for each in WORKLOADS} == before
    stack.test("hub")
    stack.test("edge")
