"""The charts in a cluster: installed, tested, upgraded, rolled back, and removed without leftovers.

    KUBECONFIG=… uv run pytest tests/deploy/helm/test_cluster.py --soak

The cluster is on this machine, since the volumes are folders of it. It has the images `towonel-hub`, `towonel-edge` and
`towonel-agent`, all `latest`, and its kubectl is on PATH. Without KUBECONFIG there is nothing to try the charts on.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from support.chart_schemas import CHARTS

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster"),
]
RELEASE, CHART, WAIT_S = "towonel", str(CHARTS / "towonel"), 240
IMAGE = {"image": {"tag": "latest"}}
KINDS = "all,configmap,secret,pvc,pdb,networkpolicy,serviceaccount,job"
MAKE_INVITE = """
import json, pathlib, urllib.request
key = pathlib.Path("/etc/towonel/keys/operator.key").read_text().strip()
request = urllib.request.Request(
    "http://127.0.0.1:8443/v1/invites",
    json.dumps({"name": "home", "hostnames": ["app.example.eu"]}).encode(),
    {"Authorization": "Bearer " + key, "Content-Type": "application/json"},
)
print(json.load(urllib.request.urlopen(request))["token"])
"""


def kubectl(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *arguments], input=text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def apply(*found: dict[str, Any]) -> None:
    kubectl("apply", "-f", "-", text=yaml.safe_dump_all(found))


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[str]:
    """Namespace that enforces the restricted standard, and volumes for a hub and an edge."""
    name = f"towonel-{os.getpid()}"
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}},
        *(volume(f"{name}-{part}", tmp_path / part) for part in ("a", "b")),
    )
    yield name
    kubectl("delete", "namespace", name)
    kubectl("delete", "pv", f"{name}-a", f"{name}-b")


def volume(name: str, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    for each in (folder, *list(folder.parents)[:3]):
        each.chmod(0o777)  # for the user of the pods, whom this machine does not know
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": str(folder)},
        },
    }


def values(namespace: str) -> dict[str, Any]:
    test = {"image": {"repository": "towonel-agent", "tag": "latest"}}
    return {
        "hub": IMAGE
        | {"publicUrl": f"http://towonel-hub.{namespace}.svc:8443", "keepOnUninstall": False},
        "edge": IMAGE
        | {
            "advertisedAddresses": [f"towonel-edge-0.{namespace}.svc:443"],
            "service": {"type": "ClusterIP"},
            "test": test,
        },
    }


def with_agents(namespace: str) -> dict[str, Any]:
    """Return the values once the hub has made an invite, which is a Secret then."""
    hub = f"deployment/{RELEASE}-hub"
    python = ("/opt/towonel/bin/python", "-c", MAKE_INVITE)
    token = kubectl("-n", namespace, "exec", hub, "--", *python).strip()
    metadata = {"name": "invite", "namespace": namespace}
    apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": token}}
    )
    # The hub speaks no TLS: agents publish it, and the test that connects to it by TLS is left out.
    service = {"hostname": "app.example.eu", "origin": f"{RELEASE}-hub:8443"}
    agent = {"enabled": True, "token": {"existingSecret": "invite"}, "services": [service]}
    return values(namespace) | {"agent": IMAGE | agent | {"hub": {"allowInsecure": True}}}


def names(namespace: str) -> set[str]:
    found = json.loads(kubectl("-n", namespace, "get", KINDS, "-o", "json"))["items"]
    return {f"{one['kind']}/{one['metadata']['name']}" for one in found}


def check(config: helm_python.Config) -> str:
    """Return what `helm test` prints."""
    tested = config.test(
        RELEASE, timeout=WAIT_S, logs=True, exclude_names=[f"{RELEASE}-agent-test"]
    )
    return str(tested["logs"])


def test_the_charts_live_and_end_in_a_cluster(namespace: str) -> None:
    at_first = names(namespace)
    with helm_python.Config(namespace=namespace) as config:
        config.install(CHART, RELEASE, values(namespace), wait="watcher", timeout=WAIT_S)
        keys = kubectl("-n", namespace, "get", "secret", f"{RELEASE}-hub-keys", "-o", "yaml")
        config.upgrade(CHART, RELEASE, with_agents(namespace), wait="watcher", timeout=WAIT_S)
        upgraded = check(config)
        config.rollback(RELEASE, wait="watcher", timeout=WAIT_S)
        rolled_back = check(config)
        kept = kubectl("-n", namespace, "get", "secret", f"{RELEASE}-hub-keys", "-o", "yaml")
        config.uninstall(RELEASE, wait="watcher", timeout=WAIT_S)
    kubectl("-n", namespace, "wait", "--for=delete", "pod", "--all", f"--timeout={WAIT_S}s")

    assert f"{RELEASE}-edge-0:443: a request went through the tunnel" in upgraded
    assert f"{RELEASE}-edge-0:443: a request went through the tunnel" in rolled_back
    assert yaml.safe_load(kept)["data"] == yaml.safe_load(keys)["data"]
    assert names(namespace) - at_first == {"Secret/invite"}
