"""Queries of the dashboards, and the configuration of Compose's Prometheus, as Prometheus reads them."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from support.promtool import promtool

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/monitoring/dashboards").glob("*.json"))


def check_queries(folder: Path, queries: list[str]) -> subprocess.CompletedProcess[str]:
    """Have Prometheus read queries, each as a rule, with what Grafana puts into its variables."""
    file = folder / "rules.yaml"
    filled = [query.replace("$__rate_interval", "1m") for query in queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    return promtool("check", "rules", str(file))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_is_one(tmp_path: Path, path: Path) -> None:
    panels = json.loads(path.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]

    said = check_queries(tmp_path, queries)

    assert said.returncode == 0, said.stdout + said.stderr
    assert f"{len(queries)} rules found" in said.stdout


def test_a_query_that_is_none_is_noticed(tmp_path: Path) -> None:
    """Prevents the test above from passing because nothing was read."""
    assert check_queries(tmp_path, ["rate(towonel_edge_routes[$__rate_interval)"]).returncode != 0


def test_prometheus_takes_the_configuration_of_compose() -> None:
    said = promtool(
        "check", "config", "--syntax-only", str(ROOT / "deploy/compose/prometheus.yaml")
    )

    assert said.returncode == 0, said.stdout + said.stderr
