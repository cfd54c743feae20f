"""Examples beside the charts are values that they take, and objects that fit them."""

from typing import Any

import pytest
import yaml
from support.chart_schemas import CHARTS
from support.charts import parse, render

pytestmark = pytest.mark.xdist_group("charts")  # one process renders each case once

FOLDER = CHARTS / "examples" / "gateway"
OBJECTS: dict[str, Any] = {
    one["kind"]: one for one in yaml.safe_load_all((FOLDER / "objects.yaml").read_text())
}


def names_of(program: str, kind: str) -> dict[str, Any]:
    """Return the objects of a kind that the example's values make, in a release of the chart's name."""
    chart = f"towonel-{program}"
    values = yaml.safe_load((FOLDER / f"{program}-values.yaml").read_text())
    found = parse(render(chart, values, name=chart))
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def test_the_gateway_sends_clients_to_a_service_that_the_chart_makes() -> None:
    (backend,) = OBJECTS["TLSRoute"]["spec"]["rules"][0]["backendRefs"]
    service = names_of("edge", "Service")[backend["name"]]

    assert [port["port"] for port in service["spec"]["ports"]] == [backend["port"]]


@pytest.mark.parametrize("route", ["TLSRoute", "HTTPRoute"])
def test_routes_are_of_listeners_that_the_gateway_has(route: str) -> None:
    gateway = OBJECTS["Gateway"]
    listeners = {one["name"]: one for one in gateway["spec"]["listeners"]}
    found = names_of("hub", route)["towonel-hub"] if route == "HTTPRoute" else OBJECTS[route]
    (parent,) = found["spec"]["parentRefs"]

    assert parent["name"] == gateway["metadata"]["name"]
    assert parent["sectionName"] in listeners
    assert listeners[parent["sectionName"]].get("hostname", "*") in {
        "*",
        *found["spec"]["hostnames"],
    }


def test_the_policy_is_of_the_route_for_clients() -> None:
    (target,) = OBJECTS["BackendTrafficPolicy"]["spec"]["targetRefs"]

    assert target["name"] == OBJECTS[target["kind"]]["metadata"]["name"]
