"""Metrics of the programs as they are exported, and those that a PromQL expression asks for."""

import re
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry

from towonel.agent.metrics import Metrics as AgentMetrics
from towonel.edge.metrics import Metrics as EdgeMetrics
from towonel.hub.metrics import Metrics as HubMetrics
from towonel.runtime.admin import Health, HealthCollector

# What Prometheus itself adds to each sample, or makes.
TARGET_LABELS = frozenset({"instance", "job"})
OF_PROMETHEUS = {"up": TARGET_LABELS, "ALERTS": TARGET_LABELS | {"alertname", "alertstate"}}
AFTER_A_GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)"
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*""')


def exported() -> Mapping[str, frozenset[str]]:
    """Return the labels of every metric, by its name at /metrics."""
    edges = CollectorRegistry()
    _ = EdgeMetrics(edges)
    programs = {"hub": HubMetrics().registry, "edge": edges, "agent": AgentMetrics().registry}
    found: dict[str, frozenset[str]] = dict(OF_PROMETHEUS)
    for name, registry in programs.items():
        found |= dict(_samples(registry))
        health = Health()
        for family in HealthCollector(health, f"towonel_{name}").collect():
            found[family.name] = frozenset({"check"} if family.name.endswith("degraded") else ())
    return {
        name: labels | TARGET_LABELS
        for name, labels in found.items()
        if not name.endswith("_created")
    }


def _samples(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield name and labels of what a registry exports; a metric without samples has its name all the same."""
    for name, collector in registry._names_to_collectors.items():
        yield name, frozenset(getattr(collector, "_labelnames", ()))
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, frozenset(sample.labels)


def metrics(expression: str) -> set[str]:
    """Return the names of the metrics that an expression asks for."""
    text = re.sub(r"\{[^{}]*\}", " ", STRING.sub('""', expression))
    text = re.sub(r"\[[^\[\]]*\]", " ", text)
    text = re.sub(AFTER_A_GROUPING, " ", text)
    names = re.findall(r"(?<![\w$:.])[A-Za-z_:][\w:]*\b(?!\s*\()", text)
    return {name for name in names if name.lower() not in WORDS}


def labels(expression: str) -> set[str]:
    """Return the labels by which an expression chooses or groups."""
    text = STRING.sub('""', expression)
    inside = "".join(re.findall(r"\{[^{}]*\}", text))
    grouped = ",".join(re.findall(AFTER_A_GROUPING, re.sub(r"\{[^{}]*\}", "", text)))
    return set(MATCHER.findall(inside)) | {word.strip() for word in grouped.split(",")} - {""}


def find_unknown(expression: str, known: Mapping[str, frozenset[str]]) -> list[str]:
    """Return metrics that no program exports, and labels that none of the expression's metrics has."""
    named = metrics(expression)
    unknown = sorted(named - known.keys())
    has = frozenset[str]().union(*(known.get(name, frozenset()) for name in named))
    return unknown + [f"label {label}" for label in sorted(labels(expression) - has)]
