"""Files of deploy/compose as `docker compose` reads them: no engine is needed, only its plugin."""

import re
from pathlib import Path

import pytest
from support.compose_project import DOCKER, FOLDER, Project

pytestmark = pytest.mark.skipif(DOCKER is None, reason="needs the plugin of Docker Compose")
# What each must be told, and the files that it needs beside it.
NEEDED = {
    "compose.yaml": {"HUB_DOMAIN": "hub.example.eu", "ACME_EMAIL": "me@example.eu"},
    "plain.yaml": {"HUB_URL": "https://hub.example.eu:8443"},
    "agent.yaml": {"APP_HOSTNAME": "app.example.eu", "INVITE_TOKEN": "./secrets/invite_token"},
    "split.yaml": {"HUB_DOMAIN": "hub.example.eu", "SECRETS": "./secrets"},
    "edge.yaml": {"TOWONEL_EDGE_INVITE_TOKEN": "tt_edge_2_x"},
    "monitoring.yaml": {"GRAFANA_PASSWORD": "./secrets/grafana_password"},
}


@pytest.mark.parametrize("file", NEEDED)
def test_a_file_is_valid_with_what_its_head_asks_for(tmp_path: Path, file: str) -> None:
    said = Project("try", (file,), tmp_path, NEEDED[file]).ask("--profile", "*", "config")

    assert said.returncode == 0, said.stderr
    assert said.stderr == ""


@pytest.mark.parametrize(("file", "variable"), [(f, v) for f in NEEDED for v in NEEDED[f]])
def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path, file: str, variable: str) -> None:
    given = {name: value for name, value in NEEDED[file].items() if name != variable}
    said = Project("try", (file,), tmp_path, given).ask("config")

    assert said.returncode != 0
    assert re.search(rf"{variable}.*set it to ", said.stderr), said.stderr


@pytest.mark.parametrize("file", ["compose.yaml", "plain.yaml", "split.yaml", "agent.yaml"])
def test_monitoring_goes_beside_each_of_the_others(tmp_path: Path, file: str) -> None:
    variables = NEEDED[file] | NEEDED["monitoring.yaml"]
    project = Project("try", (file, "monitoring.yaml"), tmp_path, variables)
    services = project.run("--profile", "*", "config", "--services").split()

    assert {"prometheus", "grafana"} < {*services}
    assert NEEDED.keys() == {path.name for path in FOLDER.glob("*.yaml")} - {"prometheus.yaml"}
