"""Cluster that KUBECONFIG names: kubectl, helm, and namespaces that end with the tests."""

import contextlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import yaml
from support.chart_schemas import CHARTS

type Object = dict[str, Any]

ROOT = CHARTS.parents[1]
WAIT = "4m"  # for a workload, on a machine with much else to do
KINDS = "all,configmap,secret,pvc,pdb,hpa,networkpolicy,serviceaccount"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
# Made by Kubernetes in every namespace.
ALWAYS = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}


def run(*command: str, text: str | None = None) -> str:
    """Run a command, and return what it prints; one that fails says why."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def kubectl(*arguments: str, text: str | None = None) -> str:
    return run("kubectl", *arguments, text=text)


def apply(*objects: Object) -> None:
    kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))


def find_missing() -> str | None:
    """Return what there is not and must be, to try the charts on."""
    missing = [program for program in ("kubectl", "helm") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} on PATH: `make e2e-kube` has them"
    question = ("kubectl", "get", "--raw", "/readyz")
    answered = subprocess.run(question, capture_output=True, check=False).returncode == 0
    return None if answered else "a cluster that answers: `make e2e-kube` starts one"


class Namespace:
    """One namespace, its releases and its pods."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return kubectl("-n", self.name, *arguments, text=text)

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def helm(self, *arguments: str) -> str:
        return run("helm", "-n", self.name, *arguments)

    def deploy(self, verb: str, chart: str, values: Object, folder: Path = CHARTS) -> None:
        """Install or upgrade a release of the chart's name, and wait until it is ready."""
        command = ("helm", "-n", self.name, verb, chart, str(folder / chart), "-f", "-")
        run(*command, "--wait", "--timeout", WAIT, text=yaml.safe_dump(values))

    def test(self, release: str, *tests: str) -> None:
        """Run the pods of `helm test`, of a chart of the release's name by default; each says by its end whether it works."""
        tests = tests or (f"{release}-test",)
        said = self.helm("test", release, "--timeout=3m", f"--filter={names_of(tests)}")
        assert said.count("Phase:          Succeeded") == len(tests), said

    def get(self, *arguments: str) -> list[Object]:
        """Return objects: of a kind, or one by its name."""
        found: Object = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return list(found.get("items", [found]))

    def pods(self, component: str) -> list[Object]:
        """Return the pods of a chart that have not been told to end."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def names(self) -> set[str]:
        """Return what there is, but for what Kubernetes itself makes and keeps."""
        found = {f"{one['kind']}/{one['metadata']['name']}" for one in self.get(KINDS)}
        return found - ALWAYS

    def put(self, kind: str, name: str, **content: str) -> None:
        """Make a ConfigMap or Secret of texts."""
        field = "data" if kind == "ConfigMap" else "stringData"
        made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: content}
        self.apply(made)

    def roll(self, workload: str) -> None:
        """Replace all pods of a workload, and wait until the new ones are ready and the old ones gone."""
        self.kubectl("rollout", "restart", workload)
        self.settle(workload)

    def settle(self, workload: str) -> None:
        self.kubectl("rollout", "status", workload, f"--timeout={WAIT}")
        for pod in self.get("pods"):
            if "deletionTimestamp" in pod["metadata"]:
                name = f"pod/{pod['metadata']['name']}"
                self.kubectl("wait", "--for=delete", name, f"--timeout={WAIT}")


def names_of(tests: tuple[str, ...]) -> str:
    return ",".join(f"name={one}" for one in tests)


@contextlib.contextmanager
def namespace(folder: Path, *, volumes: int, enforce: bool = True) -> Generator[Namespace]:
    """Make a namespace that enforces the restricted standard, and volumes for it, which are folders of this machine.

    Where the cluster has a storage class of its own, it makes volumes, and these are left alone.
    """
    name = f"towonel-{uuid.uuid4().hex[:6]}"
    metadata: Object = {"name": name, "labels": RESTRICTED if enforce else {}}
    made = [volume(f"{name}-{number}", folder / f"{name}-{number}") for number in range(volumes)]
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, *made)
    try:
        yield Namespace(name)
    finally:
        kubectl("delete", "namespace", name, "--timeout", WAIT)
        for one in made:
            # Another namespace, which ends later, may have taken it.
            kubectl("delete", "pv", one["metadata"]["name"], "--wait=false")


def volume(name: str, folder: Path) -> Object:
    """Return a volume that is a folder, which everybody may write to: this machine does not know the users of pods."""
    folder.mkdir(parents=True)
    for each in (folder, *list(folder.parents)[:3]):
        each.chmod(0o777)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder)},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": spec,
    }
