"""Pods meet the restricted standard of Kubernetes, so that a namespace may enforce it."""

from collections.abc import Callable
from typing import Any

import pytest
from support.charts import CASES, Object, pods

pytestmark = pytest.mark.xdist_group("charts")  # one process renders each case once

SAFE_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SAFE_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start", "kernel.shm_rmid_forced"}
NODE_EDGES = "edges-of-nodes"


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def each(rule: Callable[[Object], Any]) -> Callable[[Object], bool]:
    """Whether all containers of a pod keep a rule."""
    return lambda pod: all(bool(rule(one)) for one in containers(pod))


def security(container: Object) -> Object:
    return dict(container.get("securityContext", {}))


# The controls of the standard, in its order: baseline first, then what restricted adds.
STANDARD: dict[str, Callable[[Object], bool]] = {
    "host namespaces": lambda pod: (
        not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    ),
    "privileged containers": each(lambda one: not security(one).get("privileged")),
    "capabilities": each(lambda one: not security(one)["capabilities"].get("add")),
    "host ports": each(lambda one: not any("hostPort" in port for port in one.get("ports", []))),
    "AppArmor": lambda pod: "appArmorProfile" not in pod["securityContext"],
    "SELinux": lambda pod: "seLinuxOptions" not in pod["securityContext"],
    "proc mount": each(lambda one: "procMount" not in security(one)),
    "sysctls": lambda pod: (
        {one["name"] for one in pod["securityContext"].get("sysctls", [])} <= SAFE_SYSCTLS
    ),
    "volume types": lambda pod: all(
        len(volume.keys() & SAFE_VOLUMES) == 1 for volume in pod.get("volumes", [])
    ),
    "privilege escalation": each(lambda one: security(one)["allowPrivilegeEscalation"] is False),
    "running as non-root": lambda pod: pod["securityContext"]["runAsNonRoot"] is True,
    "running as non-root user": lambda pod: pod["securityContext"]["runAsUser"] > 0,
    "seccomp": lambda pod: pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault",
    "capabilities (restricted)": each(lambda one: security(one)["capabilities"]["drop"] == ["ALL"]),
}
# Beyond the standard.
OWN: dict[str, Callable[[Object], bool]] = {
    "the image is read-only": each(lambda one: security(one)["readOnlyRootFilesystem"] is True),
    "no token of the API server": lambda pod: pod["automountServiceAccountToken"] is False,
    "memory is limited": each(lambda one: one["resources"]["limits"]["memory"]),
    # Kubernetes would set TOWONEL_HUB_PORT for a Service named towonel-hub, and a program that does not know it ends.
    "no variables of other Services": lambda pod: pod["enableServiceLinks"] is False,
}


def broken(case: str, rules: dict[str, Callable[[Object], bool]]) -> list[tuple[str, str]]:
    return [
        (name, rule)
        for name, pod in pods(case)
        for rule, is_kept in rules.items()
        if not is_kept(pod)
    ]


@pytest.mark.parametrize("case", sorted(CASES.keys() - {NODE_EDGES}))
def test_every_pod_meets_the_restricted_standard(case: str) -> None:
    assert list(pods(case))
    assert broken(case, STANDARD) == []


def test_edges_of_nodes_meet_it_but_for_the_port_that_they_are_for() -> None:
    assert broken(NODE_EDGES, STANDARD) == [("DaemonSet/demo-edge", "host ports")]


@pytest.mark.parametrize("case", sorted(CASES))
def test_every_pod_keeps_the_rules_of_this_house(case: str) -> None:
    assert broken(case, OWN) == []


UNSAFE: dict[str, Object] = {
    "host namespaces": {"hostNetwork": True},
    "volume types": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    "running as non-root": {"securityContext": {"runAsNonRoot": False}},
}


@pytest.mark.parametrize("control", UNSAFE)
def test_a_pod_that_breaks_a_control_is_found(control: str) -> None:
    ((_, pod), *_) = pods("hub")

    assert not STANDARD[control](pod | UNSAFE[control])
