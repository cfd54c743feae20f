"""Objects of a release fit together: names, selectors, ports, secrets."""

import ast
from typing import Any

import pytest
from support.chart_schemas import CHARTS, PROGRAMS
from support.charts import CASES, Object, kinds, objects, only, pod_of, pods

pytestmark = pytest.mark.xdist_group("charts")  # one process renders each case once

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
SELECTING = ("Service", "PodDisruptionBudget", "NetworkPolicy")


def selector_of(found: Object) -> dict[str, str]:
    spec = found["spec"]
    chosen = spec.get("selector") or spec["podSelector"]
    return dict(chosen.get("matchLabels", chosen))


def labels_of_pods(case: str) -> list[dict[str, str]]:
    """Return the labels of each workload's pods, with those that Kubernetes adds, and of pods of tests."""
    found = []
    for one in kinds(case, *WORKLOADS):
        name = one["metadata"]["name"]
        labels = one["spec"]["template"]["metadata"]["labels"]
        added = [{"statefulset.kubernetes.io/pod-name": f"{name}-{n}"} for n in range(2)]
        found += [labels | extra for extra in added] if one["kind"] == "StatefulSet" else [labels]
    return found


def is_chosen(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@pytest.mark.parametrize("case", CASES)
def test_a_workload_selects_its_own_pods_and_no_others(case: str) -> None:
    for workload in kinds(case, *WORKLOADS):
        own = workload["spec"]["template"]["metadata"]["labels"]
        chosen = [
            one
            for one in kinds(case, *WORKLOADS)
            if is_chosen(one["spec"]["template"]["metadata"]["labels"], selector_of(workload))
        ]

        assert is_chosen(own, selector_of(workload))
        assert chosen == [workload]


@pytest.mark.parametrize("case", CASES)
def test_what_selects_pods_finds_some_and_none_of_a_test(case: str) -> None:
    tests = [one["metadata"]["labels"] for one in kinds(case, "Pod")]
    for found in kinds(case, *SELECTING):
        selector = selector_of(found)

        assert any(is_chosen(labels, selector) for labels in labels_of_pods(case)), found
        assert not any(is_chosen(labels, selector) for labels in tests)


@pytest.mark.parametrize("case", CASES)
def test_a_selector_has_no_label_that_an_upgrade_changes(case: str) -> None:
    changing = {"helm.sh/chart", "app.kubernetes.io/version"}

    for found in kinds(case, *WORKLOADS, *SELECTING):
        assert not changing & selector_of(found).keys()
        assert changing <= found["metadata"]["labels"].keys()


@pytest.mark.parametrize("case", CASES)
def test_services_and_policies_name_ports_that_the_pods_have(case: str) -> None:
    named = {
        (port["name"], port.get("protocol", "TCP"))
        for one in kinds(case, *WORKLOADS)
        for port in one["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    services = [port for one in kinds(case, "Service") for port in one["spec"]["ports"]]
    rules = [rule for one in kinds(case, "NetworkPolicy") for rule in one["spec"]["ingress"]]
    wanted = {(port["targetPort"], port.get("protocol", "TCP")) for port in services}
    allowed = {(port["port"], port["protocol"]) for rule in rules for port in rule["ports"]}

    assert wanted <= named
    assert allowed == named


@pytest.mark.parametrize("case", CASES)
def test_mounts_and_volumes_match(case: str) -> None:
    for found in objects(case):
        pod = pod_of(found)
        if pod is None:
            continue
        claims = [one["metadata"]["name"] for one in found["spec"].get("volumeClaimTemplates", [])]
        volumes = [one["name"] for one in pod["volumes"]] + claims
        mounts = [one["name"] for one in pod["containers"][0]["volumeMounts"]]

        assert sorted(volumes) == sorted(mounts)


def seconds(pod: Object) -> tuple[int, int, int]:
    """Return what a pod waits before it is told to end, its drain, and what it gets in all."""
    (container, *_) = pod["containers"]
    drain = next(one for one in container["env"] if one["name"].endswith("DRAIN_TIMEOUT_SECS"))
    wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    return wait, int(drain["value"]), pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("case", CASES)
def test_a_pod_has_time_for_its_drain(case: str) -> None:
    for workload in kinds(case, *WORKLOADS):
        wait, drain, grace = seconds(workload["spec"]["template"]["spec"])

        assert wait + drain < grace


@pytest.mark.parametrize("case", CASES)
def test_secret_files_are_closed_to_others_and_programs_take_them(case: str) -> None:
    secrets = [
        volume["secret"]
        for _, pod in pods(case)
        for volume in pod["volumes"]
        if "secret" in volume and volume["name"] != "ca"
    ]

    assert {one["defaultMode"] for one in secrets} == {0o440}


def test_a_hub_on_sqlite_is_replaced_and_one_on_postgres_is_rolled() -> None:
    alone, several = only("hub", "Deployment"), only("hubs-on-postgres", "Deployment")

    assert alone["spec"]["strategy"] == {"type": "Recreate"}
    assert several["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert kinds("hubs-on-postgres", "PersistentVolumeClaim") == []


def test_a_budget_is_for_more_than_one_pod() -> None:
    assert kinds("hub", "PodDisruptionBudget") == []
    assert kinds("edge", "PodDisruptionBudget") == []
    assert only("edges", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert only("agents", "PodDisruptionBudget")
    assert only("hubs-on-postgres-scaled", "PodDisruptionBudget")


def test_an_autoscaler_takes_the_place_of_a_number_of_replicas() -> None:
    for case in ("hubs-on-postgres-scaled", "agents-scaled"):
        deployment = only(case, "Deployment")
        target = only(case, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]

        assert "replicas" not in deployment["spec"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


def test_keys_and_claim_stay_unless_they_need_not() -> None:
    kept = kinds("hub", "Secret", "PersistentVolumeClaim")
    lost = kinds("hub-kept-nowhere", "Secret", "PersistentVolumeClaim")

    assert [one["metadata"].get("annotations") for one in kept] == [
        {"helm.sh/resource-policy": "keep"}
    ] * 2
    assert [one["metadata"].get("annotations") for one in lost] == [None] * 2


def test_each_edge_has_a_service_which_agents_reach_before_clients_come() -> None:
    services = {one["metadata"]["name"]: one["spec"] for one in kinds("edges", "Service")}
    own, clients = services["demo-edge-1"], services["demo-edge-clients"]

    assert own["selector"]["statefulset.kubernetes.io/pod-name"] == "demo-edge-1"
    assert own["publishNotReadyAddresses"]
    assert {port["protocol"] for port in own["ports"]} == {"TCP", "UDP"}
    assert "publishNotReadyAddresses" not in clients
    assert only("edges", "StatefulSet")["spec"]["updateStrategy"] == {"type": "RollingUpdate"}


def test_a_range_is_each_of_its_ports_wherever_ports_of_services_are() -> None:
    container = only("edges", "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    services = [one["spec"] for one in kinds("edges", "Service") if "metrics" not in str(one)]
    policy = only("edges", "NetworkPolicy")["spec"]["ingress"]
    game = {f"udp-{port}" for port in (27015, 27016, 27017)}

    assert game <= {port["name"] for port in container["ports"]}
    assert all(game <= {port["name"] for port in each["ports"]} for each in services)
    assert all(name in str(policy) for name in game)


def test_the_edge_of_the_umbrella_has_the_keys_and_the_address_of_its_hub() -> None:
    edge = only("all", "StatefulSet")["spec"]["template"]["spec"]
    address = next(
        one for one in edge["containers"][0]["env"] if one["name"] == "TOWONEL_EDGE_HUB_URL"
    )
    secret = next(one["secret"] for one in edge["volumes"] if one["name"] == "identity")
    hub = only("all", "Service", "-hub")

    assert address["value"] == f"http://{hub['metadata']['name']}:{hub['spec']['ports'][0]['port']}"
    assert secret["secretName"] == only("all", "Secret")["metadata"]["name"]


def test_monitoring_is_there_when_it_is_asked_for() -> None:
    for case in ("hub", "edge", "agents"):
        monitor = only(case, "ServiceMonitor")
        service = only(case, "Service", "-metrics")

        assert is_chosen(service["metadata"]["labels"], selector_of(monitor))
        assert only(case, "PrometheusRule")["spec"]["groups"]


@pytest.mark.parametrize(
    "path", sorted(CHARTS.glob("*/files/*.py")), ids=lambda path: f"{path.parts[-3]}-{path.name}"
)
def test_scripts_of_tests_are_python_and_say_what_they_do(path: Any) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_charts_of_one_release_have_one_version() -> None:
    versions = {
        line
        for name in ("", *(f"-{program}" for program in PROGRAMS))
        for line in (CHARTS / f"towonel{name}" / "Chart.yaml").read_text().splitlines()
        if line.startswith(("version:", "appVersion:"))
    }

    assert versions == {"version: 0.1.0", "appVersion: 0.1.0"}
