"""Commands of documents for a cluster, run as they are written, but for the names in one table."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.chart_schemas import CHARTS
from support.documents import blocks, story
from support.kube import ROOT, Namespace, kubectl, namespace
from support.kube_stack import fetch, start_guests

pytestmark = pytest.mark.timeout(900)

PORT = 8443


@dataclass
class Reader:
    """Somebody who runs the commands of a document in a clone.

    Args:
        folder: has the clone's charts, and what the commands write.
        names: of the test's own, for those of the document.
    """

    folder: Path
    names: Mapping[str, str]

    def __post_init__(self) -> None:
        (self.folder / "deploy").symlink_to(ROOT / "deploy")

    def run(self, block: str) -> None:
        own = {"HOME": str(self.folder), "TOWONEL_ALLOW_INSECURE_HUB": "true"}
        path = {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}
        with (self.folder / "printed").open("a") as printed:
            done = subprocess.run(
                ("bash", "-euo", "pipefail", "-c", self.translate(block)),
                cwd=self.folder,
                env=os.environ | own | path,
                stdout=printed,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 0, f"{block}\n{done.stderr}"

    def translate(self, block: str) -> str:
        """Put in the test's names, and in place of a token shell that finds the one which was printed last."""
        for name, own in self.names.items():
            block = block.replace(name, own)
        return re.sub(
            r"(tt_[a-z]+_2_)…", r"$(grep -o '\1[[:alnum:]_.-]*' printed | tail -n 1)", block
        )


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    with namespace(tmp_path / "volumes", volumes=2) as made:
        yield made


def publish_hub(space: Namespace) -> str:
    """Return an address of the hub that this machine and pods reach: a port of a node, in place of an Ingress."""
    ports = [{"port": PORT, "targetPort": "api"}]
    selector = {"app.kubernetes.io/component": "hub"}
    spec = {"type": "NodePort", "selector": selector, "ports": ports}
    space.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "public"}, "spec": spec}
    )
    [service] = space.get("service", "public")
    address = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}'
    host = kubectl("get", "nodes", "-o", f"jsonpath={address}")
    return f"http://{host}:{service['spec']['ports'][0]['nodePort']}"


def test_commands_of_the_readme_install_a_hub_that_works(space: Namespace, tmp_path: Path) -> None:
    found = story("kube")
    reader = Reader(tmp_path, {"--namespace tunnel": f"--namespace {space.name}"})
    for block in found:
        reader.run(block.text)

    assert found
    assert "towonel-hub" in space.helm("list", "-q")


def test_commands_of_the_charts_lead_to_a_tunnel(space: Namespace, tmp_path: Path) -> None:
    found = [each.text for each in blocks(CHARTS / "README.md") if each.language == "sh"]
    start_guests(space, tmp_path)
    names = {
        "--namespace tunnel": f"--namespace {space.name}",
        "-n tunnel": f"-n {space.name}",
        "https://hub.example.eu:8443": publish_hub(space),
        "edge.example.eu:443": f"towonel-edge-0.{space.name}.svc:443",
        "app:443": "origin:443",
        # The address above has no TLS.
        "./deploy/helm/towonel-edge": "./deploy/helm/towonel-edge --set hub.allowInsecure=true",
        "./deploy/helm/towonel-agent": "./deploy/helm/towonel-agent --set hub.allowInsecure=true",
    }
    reader = Reader(tmp_path, names)
    for text in found:
        reader.run(text)

    assert len(found) > 2
    space.settle("deployment/towonel-agent")
    assert fetch(space, "towonel-edge-0:443") == "hello from home"
