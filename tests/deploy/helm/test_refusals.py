"""Wrong values are refused, and the message names the field."""

import copy
from typing import Any, NamedTuple

import helm_python
import pytest
from support.charts import AGENT, ALL, EDGE, HUB, Values, render

pytestmark = pytest.mark.xdist_group("charts")  # one process renders each case once


class Mistake(NamedTuple):
    """Value that is wrong, at a path of a chart's values that are right otherwise."""

    chart: str
    path: str
    value: Any
    named: str = ""


RIGHT: dict[str, Values] = {
    "towonel-hub": HUB,
    "towonel-edge": EDGE,
    "towonel-agent": AGENT,
    "towonel": ALL,
}
MISTAKES = [
    Mistake("towonel-hub", "publicUrl", ""),
    Mistake("towonel-hub", "publicUrl", "hub.example.eu"),
    Mistake("towonel-hub", "replicas", 2),
    Mistake("towonel-hub", "autoscaling.enabled", True),
    Mistake("towonel-hub", "database.driver", "mysql"),
    Mistake("towonel-hub", "database.driver", "postgres", "database/dsnSecret/name"),
    Mistake("towonel-hub", "ingress.enabled", True, "ingress/host"),
    Mistake("towonel-hub", "gateway.enabled", True, "gateway/parentRefs"),
    Mistake("towonel-hub", "ports.api", 443),
    Mistake("towonel-hub", "drainSeconds", 0),
    Mistake("towonel-hub", "env.TOWONEL_HUB_QUOTA_SERVICE", 1),
    Mistake("towonel-hub", "env.TOWONEL_HUB_LISTEN_ADDR", "0.0.0.0:1"),
    Mistake("towonel-hub", "env.OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:password@host"),
    Mistake("towonel-hub", "secretEnv.TOWONEL_TENANTS", {"name": "tenants"}, "TOWONEL_TENANTS"),
    Mistake("towonel-hub", "replica", 1),
    Mistake("towonel-hub", "image.tags", "1"),
    Mistake("towonel-hub", "image.digest", "latest"),
    Mistake("towonel-hub", "resources.limit", {"memory": "1Gi"}),
    Mistake("towonel-hub", "keys.existingSecret", "My Secret"),
    Mistake("towonel-edge", "kind", "Deployment"),
    Mistake("towonel-edge", "identity.tokensSecret", ""),
    Mistake("towonel-edge", "identity.hubKeysSecret", "keys", "identity/tokensSecret"),
    Mistake("towonel-edge", "advertisedAddresses", []),
    Mistake("towonel-edge", "advertisedAddresses", ["edge.example.eu"], "advertisedAddresses/0"),
    Mistake("towonel-edge", "advertisedAddressesByEdge", {"a": ["b:1"]}, "advertisedAddresses"),
    Mistake("towonel-edge", "ports.edge", 443),
    Mistake("towonel-edge", "hostPort", 70_000),
    Mistake("towonel-edge", "tcpPorts", [70_000], "tcpPorts/0"),
    Mistake("towonel-edge", "tcpPorts", "2222"),
    Mistake("towonel-edge", "udpPorts", [5353, 5353]),
    Mistake("towonel-edge", "udpPorts", ["5353"], "udpPorts/0"),
    Mistake("towonel-edge", "udpPorts", ["27030-27015"], "27030-27015 must be a range of at most"),
    Mistake("towonel-edge", "tcpPorts", ["1024-1536"], "1024-1536 must be a range of at most 512"),
    Mistake("towonel-edge", "service.type", "ExternalName"),
    Mistake("towonel-edge", "service.externalTrafficPolicy", "local"),
    Mistake("towonel-edge", "proxyProtocol.trusted", "10.0.0.0/8"),
    Mistake("towonel-edge", "autoscaling", {"enabled": True}),
    Mistake("towonel-edge", "env.TOWONEL_EDGE_UPGRADE", True),
    Mistake("towonel-agent", "token.existingSecret", ""),
    Mistake("towonel-agent", "token.value", "tt_inv_2_"),
    Mistake("towonel-agent", "services", [{"hostname": "app.example.eu"}], "origin"),
    Mistake(
        "towonel-agent", "services", [{"hostname": "a.b", "origin": "app"}], "services/0/origin"
    ),
    Mistake("towonel-agent", "services", [{"host": "a.b", "origin": "app:1"}], "hostname"),
    Mistake(
        "towonel-agent",
        "services",
        [{"hostname": "a.b", "origin": "app:1", "check": "icmp"}],
        "services/0/check",
    ),
    Mistake(
        "towonel-agent",
        "services",
        [{"hostname": "a.b", "origin": "app:1", "affinity": "cookie"}],
        "services/0/affinity",
    ),
    Mistake("towonel-agent", "servicesConfigMap.name", "services", "services"),
    Mistake("towonel-agent", "tcpServices", [{"name": "ssh", "origin": "a:1"}], "listen_port"),
    Mistake(
        "towonel-agent",
        "tcpServices",
        [{"name": "ssh", "origin": "a:1", "listen_port": "any"}],
        "tcpServices/0/listen_port",
    ),
    Mistake("towonel-agent", "udpServices", [{"name": "dns", "origin": "a:1"}], "listen_port"),
    Mistake(
        "towonel-agent",
        "udpServices",
        [{"name": "game", "origin": "a:1", "listen_port_range": "27015-27030"}],
        "udpServices/0/origin",
    ),
    Mistake(
        "towonel-agent",
        "udpServices",
        [{"name": "dns", "origin": "a:1", "listen_port": 5353, "proxy_protocol": "v2"}],
        "proxy_protocol",
    ),
    Mistake("towonel-agent", "group", ""),
    Mistake("towonel-agent", "env.TOWONEL_AGENT_WORKER", 2),
    Mistake("towonel", "hubs", {}),
    Mistake("towonel", "hub.publicUrl", ""),
    Mistake("towonel", "edge.replicas", 2),
    Mistake("towonel", "agent.enabled", True, "existingSecret"),
]


def put(values: Values, path: str, value: Any) -> dict[str, Any]:
    """Return values with this one at its path."""
    changed: dict[str, Any] = copy.deepcopy(values)
    place = changed
    *parents, last = path.split(".")
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return changed


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: f"{one.chart}-{one.path}-{one.value}")
def test_a_wrong_value_is_refused_by_the_name_of_its_field(mistake: Mistake) -> None:
    last = mistake.path.rpartition(".")[2]
    with pytest.raises(helm_python.HelmError) as refused:
        render(mistake.chart, put(RIGHT[mistake.chart], mistake.path, mistake.value))

    assert (mistake.named or last) in str(refused.value)


@pytest.mark.parametrize("chart", RIGHT)
def test_the_same_values_without_the_mistake_are_taken(chart: str) -> None:
    assert render(chart, RIGHT[chart])
