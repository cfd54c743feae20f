"""Charts of deploy/helm, rendered without a cluster: each once, with all that matters of its values."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import helm_python
import yaml
from support.chart_schemas import CHARTS

type Object = dict[str, Any]
type Values = dict[str, Any]

RELEASE = "demo"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is

HUB: Values = {"publicUrl": "https://hub.example.eu:8443"}
POSTGRES: Values = HUB | {
    "database": {"driver": "postgres", "dsnSecret": {"name": "database"}},
    "replicas": 3,
}
EDGE: Values = {
    "identity": {"tokensSecret": "edges"},
    "advertisedAddresses": ["$(EDGE_NAME).example.eu:443"],
}
SERVICES = [{"hostname": "app.example.eu", "origin": "app:443", "proxy_protocol": "none"}]
CHECK = {"type": "http", "path": "/healthz", "origin": "wg:8080", "interval_secs": 10}
AGENT: Values = {"token": {"existingSecret": "invite"}, "services": SERVICES}
PORT_SERVICES: Values = {
    "tcpServices": [
        {"name": "ssh", "origin": "forgejo:22", "listen_port": 2222, "idle_timeout_secs": 3600},
        {"name": "db", "origin": "db:5432", "listen_port": "auto", "proxy_protocol": "v2"}
        | {"check": "tcp"},
    ],
    "udpServices": [
        {"name": "dns", "origin": "resolver:53", "listen_port": 5353, "idle_timeout_secs": 5},
        {"name": "vpn", "origin": "wg:51820", "listen_port": "auto", "max_unanswered_bytes": 10**9}
        | {"check": CHECK, "affinity": "client"},
        {"name": "game", "origin": "game", "listen_port_range": "27015-27030"},
    ],
}
ALL: Values = {"hub": HUB, "edge": {"advertisedAddresses": ["edge.example.eu:443"]}}
MONITORED: Values = {
    "monitoring": {
        part: {"enabled": True} for part in ("serviceMonitor", "prometheusRule", "dashboards")
    }
}
PLACED: Values = {
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "edge", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "podLabels": {"team": "net"},
    "podAnnotations": {"note": "yes"},
    "ca": {"secret": "authorities"},
    "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "here"}],
    "networkPolicy": {"egress": [{"to": [{"namespaceSelector": {}}]}]},
    "serviceAccount": {"annotations": {"note": "yes"}},
}
SCALED: Values = {"autoscaling": {"enabled": True}}


class Case(NamedTuple):
    """Values of a chart that somebody may have."""

    chart: str
    values: Values


CASES = {
    "hub": Case("towonel-hub", HUB | MONITORED),
    "hub-with-keys-and-claim": Case(
        "towonel-hub",
        HUB
        | PLACED
        | {"keys": {"existingSecret": "keys"}, "persistence": {"existingClaim": "database"}},
    ),
    "hub-kept-nowhere": Case(
        "towonel-hub", HUB | {"keepOnUninstall": False, "persistence": {"storageClass": "fast"}}
    ),
    "hub-behind-ingress": Case(
        "towonel-hub",
        HUB
        | {
            "ingress": {"enabled": True, "host": "hub.example.eu", "tlsSecret": "hub-tls"},
            "trustedProxies": ["10.0.0.0/8"],
        },
    ),
    "hub-behind-gateway": Case(
        "towonel-hub",
        HUB
        | {
            "gateway": {
                "enabled": True,
                "parentRefs": [{"name": "public", "sectionName": "hub"}],
                "hostnames": ["hub.example.eu"],
            }
        },
    ),
    "hubs-on-postgres": Case(
        "towonel-hub", POSTGRES | PLACED | {"redis": {"urlSecret": {"name": "redis"}}}
    ),
    "hubs-on-postgres-scaled": Case("towonel-hub", POSTGRES | SCALED),
    "hub-with-settings": Case(
        "towonel-hub",
        HUB
        | {
            "env": {
                "TOWONEL_HUB_ROUTE_CHANGES_BURST": 1_000_000,
                "TOWONEL_HUB_RATE_LIMIT_PER_SEC": 2.5,
                "TOWONEL_HUB_RESERVED_PORTS": ["443", "8443"],
                "TOWONEL_HUB_OPEN_TENANT_LOGS": True,
            },
            "secretEnv": {"OTEL_EXPORTER_OTLP_ENDPOINT": {"name": "collector", "key": "url"}},
        },
    ),
    "edge": Case("towonel-edge", EDGE | MONITORED),
    "edges": Case(
        "towonel-edge",
        EDGE
        | PLACED
        | {
            "replicas": 2,
            "tcpPorts": [2222, 5432],
            "udpPorts": [2222, 5353, "27015-27017"],
            "clientService": {"enabled": True},
            "redis": {"urlSecret": {"name": "redis"}},
            "persistence": {"storageClass": "fast"},
        },
    ),
    "edges-behind-gateway": Case(
        "towonel-edge",
        EDGE
        | {
            "clientService": {"enabled": True, "type": "ClusterIP"},
            "proxyProtocol": {"enabled": True, "trusted": ["10.244.0.0/16"]},
        },
    ),
    "edges-of-nodes": Case(
        "towonel-edge",
        EDGE
        | PLACED
        | {
            "kind": "DaemonSet",
            "advertisedAddresses": ["$(HOST_IP):443"],
            "tcpPorts": [2222],
            "udpPorts": [2222],
        },
    ),
    "edges-by-address": Case(
        "towonel-edge",
        {
            "identity": {"tokensSecret": "edges"},
            "advertisedAddressesByEdge": {"demo-edge-0": ["192.0.2.7:443", "[2001:db8::7]:443"]},
            "persistence": {"enabled": False},
            "service": {"type": "NodePort"},
        },
    ),
    "edge-beside-hub": Case(
        "towonel-edge",
        {
            "identity": {"hubKeysSecret": "hub-keys"},
            "hub": {"url": "http://hub:8443", "allowInsecure": True},
            "advertisedAddresses": ["edge.example.eu:443"],
            "test": {"hubKeysSecret": "hub-keys"},
        },
    ),
    "agents": Case("towonel-agent", AGENT | MONITORED),
    "agents-by-configmap": Case(
        "towonel-agent",
        PLACED
        | {
            "token": {"existingSecret": "invite"},
            "servicesConfigMap": {"name": "services"},
            "tcpServicesConfigMap": {"name": "ports"},
            "udpServicesConfigMap": {"name": "udp-ports"},
        },
    ),
    "agents-scaled": Case(
        "towonel-agent",
        AGENT
        | PORT_SERVICES
        | SCALED
        | {"hub": {"allowInsecure": True}, "ca": {"configMap": "authorities"}},
    ),
    "all": Case("towonel", ALL),
    "all-with-agents": Case("towonel", ALL | {"agent": AGENT | {"enabled": True}}),
}


def render(chart: str, values: Values, name: str = RELEASE) -> dict[str, str]:
    """Return what a chart makes of these values, by template."""
    # Loaded each time: rendering takes charts that are not enabled out of the one that has them.
    with helm_python.Chart.load(CHARTS / chart) as loaded:
        return loaded.render(values, name=name, namespace="tunnel")


@cache
def objects(case: str) -> tuple[Object, ...]:
    """Return the objects of a case, hooks included; no test changes them."""
    return tuple(parse(render(*CASES[case])))


def parse(templates: Mapping[str, str]) -> Iterator[Object]:
    """Yield the objects of rendered templates."""
    for path, text in sorted(templates.items()):
        if not path.endswith("NOTES.txt"):
            yield from filter(None, yaml.load_all(text, Loader=_LOADER))


def kinds(case: str, *wanted: str) -> list[Object]:
    """Return the objects of a case that are of these kinds."""
    return [found for found in objects(case) if found["kind"] in wanted]


def only(case: str, kind: str, suffix: str = "") -> Object:
    """Return the one object of this kind, and whose name ends so."""
    (found,) = (one for one in kinds(case, kind) if one["metadata"]["name"].endswith(suffix))
    return found


def pod_of(found: Object) -> Object | None:
    """Return the specification of the pods that an object starts, if it does."""
    if found["kind"] == "Pod":
        return dict(found["spec"])
    template = found.get("spec", {}).get("template")
    return dict(template["spec"]) if template else None


def pods(case: str) -> Iterator[tuple[str, Object]]:
    """Return the name of each object of a case that starts pods, and their specification."""
    for found in objects(case):
        if (pod := pod_of(found)) is not None:
            yield f"{found['kind']}/{found['metadata']['name']}", pod


def variables_of(container: Object) -> dict[str, Any]:
    """Return the variables of a container: a text, or where it is from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def program_variables(case: str) -> dict[str, Any]:
    """Return the variables of the program that a case of one chart starts."""
    (found,) = kinds(case, "Deployment", "StatefulSet", "DaemonSet")
    return variables_of(found["spec"]["template"]["spec"]["containers"][0])
