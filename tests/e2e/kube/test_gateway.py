"""The example behind a Gateway is what an API server with the definitions of Gateway API and Envoy Gateway takes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.chart_schemas import CHARTS
from support.kube import Namespace, kubectl, namespace, run

EXAMPLE = CHARTS / "examples/gateway/objects.yaml"
# Go modules, since their authors publish definitions in no other package; and the files of what the example has.
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.6.3": [
        f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
        for kind in ("gateways", "httproutes", "tlsroutes")
    ],
    "github.com/envoyproxy/gateway@v1.9.1": [
        "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_backendtrafficpolicies.yaml"
    ],
}

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go")


@pytest.fixture(scope="module")
def files() -> list[str]:
    return [
        str(Path(json.loads(run("go", "mod", "download", "-json", module))["Dir"]) / path)
        for module, paths in DEFINITIONS.items()
        for path in paths
    ]


@pytest.fixture(scope="module")
def space(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """Namespace in a cluster that knows the kinds of the example."""
    flags = [part for file in files for part in ("-f", file)]
    kubectl("apply", "--server-side", *flags)
    kubectl("wait", "--for=condition=Established", *flags)
    with namespace(tmp_path_factory.mktemp("kube"), volumes=0) as made:
        yield made
    kubectl("delete", *flags)


def offer(space: Namespace, text: str) -> str:
    """Have the API server look at objects as if they were made."""
    strictly = ("--dry-run=server", "--validate=strict")
    return space.kubectl("apply", *strictly, "-f", "-", text=text)


def test_the_objects_of_the_example_are_taken(space: Namespace) -> None:
    said = offer(space, EXAMPLE.read_text())

    assert said.count("created (server dry run)") == 3


def test_the_hubs_values_make_a_route_that_is_taken(space: Namespace) -> None:
    values = str(EXAMPLE.with_name("hub-values.yaml"))
    chart = str(CHARTS / "towonel-hub")
    rendered = space.helm("template", "towonel-hub", chart, "-f", values, "--kube-version=1.34")
    [route] = [one for one in yaml.safe_load_all(rendered) if one and one["kind"] == "HTTPRoute"]
    route["metadata"]["namespace"] = space.name

    assert "created (server dry run)" in offer(space, yaml.safe_dump(route))


def test_a_mistake_in_the_policy_would_be_found(space: Namespace) -> None:
    with pytest.raises(AssertionError, match="V2"):
        offer(space, EXAMPLE.read_text().replace("version: V2", "version: V3"))
