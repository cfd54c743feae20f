"""Alerts and dashboards ask for what the programs export."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conventions.promql import exported, find_unknown, labels, metrics
from conventions.tree import ROOT, files

ALERTS = ROOT / "deploy/monitoring/alerts.yaml"
DASHBOARDS = files("deploy/monitoring/dashboards/*.json")
KNOWN = exported()
COLUMNS = 24


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["panels"])


def queries(path: Path) -> Iterator[str]:
    """Every expression of a dashboard: those of its panels, and those that fill its variables."""
    found = json.loads(path.read_text())
    yield from (target["expr"] for panel in found["panels"] for target in panel.get("targets", ()))
    for variable in found["templating"]["list"]:
        yield from re.findall(r"label_values\((.*), \w+\)", str(variable.get("definition", "")))


def test_every_metric_of_an_alert_is_exported() -> None:
    """Prevents an alert that can never fire, because a metric has another name now."""
    unknown = {rule["alert"]: find_unknown(rule["expr"], KNOWN) for rule in rules()}

    assert len(rules()) > 15
    assert {name: found for name, found in unknown.items() if found} == {}


def test_every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() -> None:
    """Prevents an alert at night that nobody can read."""
    mute = [
        rule["alert"]
        for rule in rules()
        if rule["labels"]["severity"] not in {"warning", "critical"}
        or min(len(rule["annotations"][it]) for it in ("summary", "description")) < 30
    ]

    assert mute == []
    assert max(Counter(rule["alert"] for rule in rules()).values()) == 1


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_metric_of_a_dashboard_is_exported(path: Path) -> None:
    """Prevents a panel that stays empty, because a metric or a label has another name now."""
    asked = list(queries(path))
    unknown = {query: find_unknown(query, KNOWN) for query in asked}

    assert len(asked) > 10
    assert {query: found for query, found in unknown.items() if found} == {}


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    """Prevents a metric that is exported and that nobody ever sees."""
    seen = {name for path in DASHBOARDS for query in queries(path) for name in metrics(query)}
    ours = {name for name in KNOWN if name.startswith("towonel_")}
    counters = {name for name in ours if f"{name}_total" in ours}  # the family, not the sample

    assert len(ours) > 50
    assert ours - counters - seen == set()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_can_load_a_dashboard(path: Path) -> None:
    """Prevents a file that Grafana refuses, or shows with holes: it cannot be run in every test."""
    board = json.loads(path.read_text())

    assert (board["uid"], board["schemaVersion"] >= 39) == (f"towonel-{path.stem}", True)
    assert "towonel" in board["tags"]
    assert board["title"].startswith("Towonel / ")
    assert [panel["id"] for panel in board["panels"]] == [*range(1, len(board["panels"]) + 1)]
    assert [panel["title"] for panel in board["panels"] if is_broken(panel)] == []


def is_broken(panel: dict[str, Any]) -> bool:
    """Whether a panel says nothing, asks another data source than the one chosen, or asks the same twice."""
    if panel["type"] == "row":
        return bool(panel["panels"])
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    refs = [target["refId"] for target in panel["targets"]]
    return bool(
        panel["type"] not in {"stat", "timeseries", "table"}
        or len(panel["description"]) < 10
        or any(source != {"type": "prometheus", "uid": "${datasource}"} for source in sources)
        or not refs
        or len({*refs}) < len(refs)
    )


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_covers_another(path: Path) -> None:
    """Prevents a dashboard that Grafana rearranges when it loads it."""
    taken = Counter(
        (x, y)
        for panel in panels(path)
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )

    assert max(x for x, _ in taken) < COLUMNS
    assert max(taken.values()) == 1


@pytest.mark.parametrize(
    ("expression", "named", "chosen"),
    [
        ("up == 0", {"up"}, set()),
        ('sum by (code) (rate(a_total{b=~"c|d {x}"}[5m])) > 0.1', {"a_total"}, {"code", "b"}),
        ("a < on () group_left () max(b)", {"a", "b"}, set()),
        ('x{a="$a"} and on (instance, job) y', {"x", "y"}, {"a", "instance", "job"}),
        ("increase(e[$__rate_interval]) offset 5m or 1e3 * z", {"e", "z"}, set()),
    ],
)
def test_names_are_found_in_expressions(expression: str, named: set[str], chosen: set[str]) -> None:
    """Prevents the checks above from passing because they read no name at all."""
    assert metrics(expression) == named
    assert labels(expression) == chosen


def test_a_renamed_metric_and_a_label_that_it_has_not_are_found() -> None:
    """Prevents the checks above from passing whatever a query says."""
    found = find_unknown('rate(towonel_edge_old_total{way="lane"}[5m])', KNOWN)

    assert found == ["towonel_edge_old_total", "label way"]
    assert find_unknown("sum by (code) (towonel_edge_routes)", KNOWN) == ["label code"]
