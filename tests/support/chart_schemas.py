"""Schemas of the charts' values: what a chart takes, so that a mistake is refused by the name of its field.

The settings of each program are in it by name, from the code; `make docs` writes the files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.balance_schemas import BALANCE
from support.tls_schemas import TLS

from towonel.agent.core.udp_services import MAX_UNANSWERED_BYTES
from towonel.agent.settings import AgentSettings
from towonel.edge.settings import EdgeSettings
from towonel.hub.settings import HubSettings
from towonel.runtime.settings import Settings, variables

type Schema = dict[str, Any]

CHARTS = Path(__file__).parents[2] / "deploy" / "helm"
PROGRAMS: dict[str, type[Settings]] = {
    "hub": HubSettings,
    "edge": EdgeSettings,
    "agent": AgentSettings,
}
# What the charts set themselves, from values of their own; and what means nothing to a pod.
OWN_VARIABLES: Mapping[str, frozenset[str]] = {
    "hub": frozenset(
        {
            "TOWONEL_DATA_DIR",
            "TOWONEL_HUB_DB_DRIVER",
            "TOWONEL_HUB_DB_DSN",
            "TOWONEL_HUB_DRAIN_TIMEOUT_SECS",
            "TOWONEL_HUB_HEALTH_LISTEN_ADDR",
            "TOWONEL_HUB_LISTEN_ADDR",
            "TOWONEL_HUB_OPERATOR_API_KEY_PATH",
            "TOWONEL_HUB_PUBLIC_URL",
            "TOWONEL_HUB_TRUSTED_PROXIES",
            "TOWONEL_IDENTITY_KEY_PATH",
            "TOWONEL_INVITE_HASH_KEY_PATH",
            "TOWONEL_REDIS_URL",
        }
    ),
    "edge": frozenset(
        {
            "TOWONEL_ALLOW_INSECURE_HUB",
            "TOWONEL_DATA_DIR",
            "TOWONEL_EDGE_ADVERTISED_ADDRESSES",
            "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS",
            "TOWONEL_EDGE_HEALTH_LISTEN_ADDR",
            "TOWONEL_EDGE_HUB_URL",
            "TOWONEL_EDGE_INVITE_TOKEN",
            "TOWONEL_EDGE_LISTEN_ADDR",
            "TOWONEL_EDGE_PROXY_PROTOCOL",
            "TOWONEL_EDGE_PROXY_PROTOCOL_TRUSTED",
            "TOWONEL_EDGE_STATE_DIR",
            "TOWONEL_IDENTITY_KEY_PATH",
            "TOWONEL_REDIS_URL",
        }
    ),
    "agent": frozenset(
        {
            "TOWONEL_AGENT_DRAIN_TIMEOUT_SECS",
            "TOWONEL_AGENT_GROUP",
            "TOWONEL_AGENT_HEALTH_LISTEN_ADDR",
            "TOWONEL_AGENT_SERVICES",
            "TOWONEL_AGENT_TCP_SERVICES",
            "TOWONEL_AGENT_UDP_SERVICES",
            "TOWONEL_ALLOW_INSECURE_HUB",
            "TOWONEL_INVITE_TOKEN",
        }
    ),
}
UNUSED_VARIABLES: Mapping[str, frozenset[str]] = {
    "hub": frozenset(),
    # Of `towonel serve`; of a hub beside an edge on one machine; deprecated; of two processes in one machine.
    "edge": frozenset(
        {
            "TOWONEL_EDGE_ENABLED",
            "TOWONEL_EDGE_HUB_URLS",
            "TOWONEL_EDGE_UPGRADE",
            "TOWONEL_HUB_LISTEN_ADDR",
            "TOWONEL_HUB_PUBLIC_URL",
        }
    ),
    "agent": frozenset(
        {"TOWONEL_AGENT_CONFIG"}
    ),  # a file, of which the chart has the parts as values
}

TEXT: Schema = {"type": "string"}
SET: Schema = {"minLength": 1}
UNSET: Schema = {"maxLength": 0}
FLAG: Schema = {"type": "boolean"}
MAP: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
LIST: Schema = {"type": "array"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65_535}
PORT_RANGE: Schema = {"type": "string", "pattern": "^[0-9]{1,5}-[0-9]{1,5}$"}
HIGH_PORT: Schema = {"type": "integer", "minimum": 1_024, "maximum": 65_535}
SECONDS: Schema = {"type": "integer", "minimum": 1, "maximum": 3_600}
ADDRESS: Schema = {"type": "string", "pattern": "^.+:[0-9]+$"}
ADDRESSES: Schema = {"type": "array", "items": ADDRESS}
SOME_ADDRESSES: Schema = {**ADDRESSES, "minItems": 1}
URL: Schema = {"type": "string", "pattern": "^https?://.+$"}
NAME: Schema = {
    "type": "string",
    "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
    "maxLength": 253,
}


def fields(**properties: Schema) -> Schema:
    """Return the schema of a map that has these fields and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def when(condition: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    """Return a rule: what must hold where values are so, and where they are not; each names fields."""
    rule: Schema = {"if": _nested(condition), "then": _nested(then)}
    return rule if otherwise is None else rule | {"else": _nested(otherwise)}


def _nested(paths: Schema) -> Schema:
    """Return `{"redis.name": SCHEMA}` as the schema of an object in an object, each of which must be there."""
    found: Schema = {"type": "object", "properties": {}, "required": []}
    for path, schema in paths.items():
        *parents, last = path.split(".")
        place = found
        for name in parents:
            _require(place, name)
            empty: Schema = {"type": "object", "properties": {}, "required": []}
            place = place["properties"].setdefault(name, empty)
        _require(place, last)
        place["properties"][last] = schema
    return found


def _require(place: Schema, name: str) -> None:
    if name not in place["required"]:
        place["required"].append(name)


SECRET = fields(name=NAME, key=TEXT)
IMAGE = fields(
    repository={"type": "string", "minLength": 1},
    tag=TEXT,
    digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    pullPolicy=one_of("Always", "IfNotPresent", "Never"),
)

LABELLED = fields(enabled=FLAG, labels=TEXTS)
MONITORING = fields(
    serviceMonitor=fields(enabled=FLAG, interval=TEXT, labels=TEXTS),
    prometheusRule=LABELLED,
    dashboards=LABELLED,
)
SPREAD = fields(
    enabled=FLAG,
    topologyKeys={"type": "array", "items": TEXT},
    whenUnsatisfiable=one_of("ScheduleAnyway", "DoNotSchedule"),
)
_CIDRS: Schema = {"type": "array", "items": TEXT, "maxItems": 64}
CIDRS: Schema = {"allow_cidrs": _CIDRS, "deny_cidrs": _CIDRS}
SERVICE = fields(
    hostname={"type": "string", "minLength": 1},
    **dict.fromkeys(("origin", "http_origin"), ADDRESS),
    proxy_protocol=one_of("v2", "none"),
    tls_mode=one_of("passthrough", "terminate"),
    **(TLS | CIDRS | BALANCE),
)
PORT_SERVICE: dict[str, Schema] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 64},
    "origin": {"type": "string", "minLength": 1},
    "listen_port": {"anyOf": [PORT, {"const": "auto"}]},
    "listen_port_range": PORT_RANGE,
    "idle_timeout_secs": {"type": "integer", "minimum": 1, "maximum": 86_400},
    **CIDRS,
    **BALANCE,
}
HAS_PORTS: Schema = {  # one, or a range, of which clients get the same port of a host
    "if": {"required": ["listen_port_range"]},
    "then": {"properties": {"origin": {"type": "string", "pattern": "^([^:]+|.*:.*:.*)$"}}},
    "else": {"properties": {"origin": ADDRESS}, "required": ["listen_port"]},
}
TCP_SERVICE = fields(**PORT_SERVICE, proxy_protocol=one_of("v2", "none"))
UDP_SERVICE = fields(
    **PORT_SERVICE,
    max_unanswered_bytes={"type": "integer", "minimum": 1, "maximum": MAX_UNANSWERED_BYTES},
)
PORTS: Schema = {"type": "array", "items": {"anyOf": [PORT, PORT_RANGE]}, "uniqueItems": True}
REACH: Schema = {"externalTrafficPolicy": one_of("Local", "Cluster"), "loadBalancerClass": TEXT}


def setting_names(program: str) -> list[str]:
    """Return the settings of a program that the chart does not set itself, sorted."""
    every = {variable.name for variable in variables(PROGRAMS[program])}
    return sorted(every - OWN_VARIABLES[program] - UNUSED_VARIABLES[program])


def _shared(program: str) -> dict[str, Schema]:
    """Return the fields that every chart has."""
    names = setting_names(program)
    secrets = {v.name for v in variables(PROGRAMS[program]) if v.is_secret}
    scalar: Schema = {"type": ["string", "number", "boolean", "array"], "items": TEXT}
    return {
        # What the umbrella chart and Helm add.
        "global": MAP,
        "enabled": FLAG,
        "towonel-library": MAP,
        "image": IMAGE,
        "imagePullSecrets": {"type": "array", "items": fields(name=NAME)},
        "env": fields(**{name: scalar for name in names if name not in secrets}),
        "secretEnv": fields(**{name: {**SECRET, "required": ["name", "key"]} for name in names}),
        "extraEnv": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "ca": fields(configMap=NAME, secret=NAME, key=TEXT),
        "monitoring": MONITORING,
        "topologySpread": SPREAD,
        **_kubernetes(),
    }


def _kubernetes() -> dict[str, Schema]:
    """Return the fields that go into manifests as they are."""
    return {
        "resources": fields(requests=MAP, limits=MAP, claims=LIST),
        "podDisruptionBudget": fields(
            enabled=FLAG, maxUnavailable={"type": ["integer", "string"], "minimum": 1}
        ),
        "serviceAccount": fields(create=FLAG, name=NAME, annotations=TEXTS),
        "fullnameOverride": {**NAME, "maxLength": 48},
        "podLabels": TEXTS,
        "podAnnotations": TEXTS,
        "nodeSelector": TEXTS,
        "tolerations": LIST,
        "affinity": MAP,
        "priorityClassName": TEXT,
    }


def _autoscaling() -> Schema:
    count: Schema = {"type": "integer", "minimum": 1}
    return fields(
        enabled=FLAG,
        minReplicas=count,
        maxReplicas=count,
        targetCPUUtilizationPercentage={"type": "integer", "minimum": 1, "maximum": 100},
    )


def _policy(*, is_open: bool) -> Schema:
    peers = {"type": "array", "items": MAP}
    open_to = {"from": peers} if is_open else {}
    return fields(enabled=FLAG, metricsFrom=peers, egress=peers, **open_to)


def _service(**more: Schema) -> Schema:
    kinds = one_of("ClusterIP", "NodePort", "LoadBalancer")
    return fields(type=kinds, port=PORT, annotations=TEXTS, **more)


def hub() -> tuple[dict[str, Schema], list[Schema]]:
    """Return fields and rules of the hub's chart."""
    own = {
        "publicUrl": URL,
        "replicas": {"type": "integer", "minimum": 0},
        "database": fields(driver=one_of("sqlite", "postgres"), dsnSecret=SECRET),
        "redis": fields(urlSecret=SECRET),
        "keys": fields(existingSecret=NAME),
        "persistence": fields(size=TEXT, storageClass=TEXT, existingClaim=NAME),
        "keepOnUninstall": FLAG,
        "service": _service(),
        "ingress": fields(
            enabled=FLAG, className=TEXT, annotations=TEXTS, host=TEXT, tlsSecret=NAME
        ),
        "gateway": fields(enabled=FLAG, parentRefs=LIST, hostnames=LIST),
        "trustedProxies": {"type": "array", "items": TEXT},
        "drainSeconds": SECONDS,
        "preStopSeconds": SECONDS,
        "autoscaling": _autoscaling(),
        "ports": fields(api=HIGH_PORT, health=HIGH_PORT),
        "networkPolicy": _policy(is_open=True),
    }
    return own, HUB_RULES


HUB_RULES = [
    when(
        {"database.driver": {"const": "sqlite"}},
        {"replicas": {"maximum": 1}, "autoscaling.enabled": {"const": False}},
        {"database.dsnSecret.name": SET},
    ),
    when({"ingress.enabled": {"const": True}}, {"ingress.host": SET, "ingress.tlsSecret": SET}),
    when(
        {"gateway.enabled": {"const": True}},
        {"gateway.parentRefs": {"minItems": 1}, "gateway.hostnames": {"minItems": 1}},
    ),
]


def edge() -> tuple[dict[str, Schema], list[Schema]]:
    """Return fields and rules of the edge's chart."""
    own = {
        "kind": one_of("StatefulSet", "DaemonSet"),
        "replicas": {"type": "integer", "minimum": 0},
        "identity": fields(tokensSecret=NAME, hubKeysSecret=TEXT),
        "hub": fields(url=TEXT, allowInsecure=FLAG),
        "advertisedAddresses": ADDRESSES,
        "advertisedAddressesByEdge": {"type": "object", "additionalProperties": SOME_ADDRESSES},
        "service": _service(**REACH),
        "clientService": _service(enabled=FLAG, **REACH),
        "hostPort": PORT,
        "tcpPorts": PORTS,
        "udpPorts": PORTS,
        "ports": fields(edge=HIGH_PORT, health=HIGH_PORT),
        "proxyProtocol": fields(enabled=FLAG, trusted={"type": "array", "items": TEXT}),
        "redis": fields(urlSecret=SECRET),
        "persistence": fields(enabled=FLAG, size=TEXT, storageClass=TEXT),
        "drainSeconds": SECONDS,
        "preStopSeconds": SECONDS,
        "readinessDelaySeconds": {"type": "integer", "minimum": 0, "maximum": 300},
        "test": fields(hubKeysSecret=TEXT, image=fields(repository=TEXT, tag=TEXT, digest=TEXT)),
        "networkPolicy": _policy(is_open=True),
    }
    return own, EDGE_RULES


EDGE_RULES = [
    # The hub's own edge is one: two processes with one key would take each other's agents.
    when(
        {"identity.hubKeysSecret": SET},
        {
            "identity.tokensSecret": UNSET,
            "replicas": {"maximum": 1},
            "kind": {"const": "StatefulSet"},
            "hub.url": SET,
        },
        {"identity.tokensSecret": SET},
    ),
    when(
        {"advertisedAddressesByEdge": {"minProperties": 1}},
        {"advertisedAddresses": {"maxItems": 0}},
        {"advertisedAddresses": {"minItems": 1}},
    ),
]


def _list(item: Schema, *required: str) -> Schema:
    return {"type": "array", "items": {**item, "required": [*required]}}


def agent() -> tuple[dict[str, Schema], list[Schema]]:
    """Return fields and rules of the agent's chart."""
    own = {
        "token": fields(existingSecret={**NAME, **SET}, key=TEXT),
        "services": _list(SERVICE, "hostname", "origin"),
        "servicesConfigMap": SECRET,
        "tcpServices": _list({**TCP_SERVICE, **HAS_PORTS}, "name", "origin"),
        "tcpServicesConfigMap": SECRET,
        "udpServices": _list({**UDP_SERVICE, **HAS_PORTS}, "name", "origin"),
        "udpServicesConfigMap": SECRET,
        "group": {"type": "string", "minLength": 1},
        "replicas": {"type": "integer", "minimum": 0},
        "hub": fields(allowInsecure=FLAG),
        "drainSeconds": SECONDS,
        "preStopSeconds": {"type": "integer", "minimum": 0, "maximum": 3_600},
        "autoscaling": _autoscaling(),
        "ports": fields(health=HIGH_PORT),
        "test": fields(edge={"type": "string", "pattern": "^(.+:[0-9]+)?$"}),
        "networkPolicy": _policy(is_open=False),
    }
    lists = ("services", "tcpServices", "udpServices")
    return own, [when({f"{it}ConfigMap.name": SET}, {it: {"maxItems": 0}}) for it in lists]


def umbrella() -> Schema:
    """Return the schema of the chart of all; each value is checked by the chart that it is for."""
    parts = {name: {"type": "object"} for name in PROGRAMS}
    return fields(**parts, **{"global": MAP})


def documents() -> dict[Path, str]:
    """Every schema, as it should be, by its file."""
    head: Schema = {"$schema": "http://json-schema.org/draft-07/schema#"}
    found = {"towonel": head | umbrella()}
    for program, make in (("hub", hub), ("edge", edge), ("agent", agent)):
        own, rules = make()
        every = fields(**(_shared(program) | own))
        found[f"towonel-{program}"] = head | every | {"allOf": rules}
    return {
        CHARTS / chart / "values.schema.json": json.dumps(schema, indent=2) + "\n"
        for chart, schema in found.items()
    }
