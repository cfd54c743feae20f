"""Compose files name what there is, and give nobody more than he needs."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conventions.compose_files import (
    COMPOSE_FILES,
    FOLDER,
    PROGRAMS,
    VARIABLE,
    Service,
    fill_in,
    read,
    services,
)
from conventions.tree import ROOT, files

from towonel.agent.settings import AgentSettings
from towonel.edge.settings import EdgeSettings
from towonel.hub.settings import HubSettings
from towonel.wire.variables import VARIABLES

# Of which registry and of which version the images are: Compose reads these, and no program.
OF_COMPOSE = {"TOWONEL_REGISTRY", "TOWONEL_VERSION"}
# Official images, and the ports that each listens on here.
OFFICIAL = {
    "caddy:2": {80, 8443},
    "postgres:17": set[int](),
    "redis:8": set[int](),
    "prom/prometheus:v3.5.0": {9090},
    "grafana/grafana:12.1.0": {3000},
}
PORTS = {"towonel-hub-caddy": {80, 443}, "towonel": {443, 8443}, "towonel-edge": {443}}
METRICS_PORTS = {
    "towonel-hub": HubSettings.model_fields["health_listen_addr"].default[1],
    "towonel-edge": EdgeSettings.model_fields["health_listen"].default[1],
    "towonel-agent": AgentSettings.model_fields["health_listen_addr"].default[1],
}
DRAINS = {
    HubSettings: HubSettings.model_fields["drain_timeout_secs"].default,
    EdgeSettings: EdgeSettings.model_fields["drain_timeout_s"].default,
    AgentSettings: AgentSettings.model_fields["drain_timeout_secs"].default,
}
ALL = services()
OURS = [service for service in ALL if service.is_ours]
RUNNING = [service for service in ALL if service.name != "cli"]


def images() -> set[str]:
    """Return the names of the images that deploy/images makes."""
    text = (ROOT / "deploy/images/Dockerfile").read_text()
    found = re.findall(r"image\.title=(\S+)|the image `([\w-]+)`", text)
    return {title or named for title, named in found}


def test_there_is_a_file_for_each_way_to_run_it() -> None:
    """Prevents a moved folder from turning every check of this file into a pass."""
    names = {path.stem for path in COMPOSE_FILES}

    listed = set(re.findall(r"\(deploy/compose/(\w+)\.yaml\)", (ROOT / "README.md").read_text()))

    assert names == listed == {"compose", "plain", "agent", "split", "edge", "monitoring"}
    assert len(OURS) > 6


def test_every_variable_of_ours_is_read_by_the_program_that_gets_it() -> None:
    """Prevents a renamed setting from stopping a container with exit code 78, or from doing nothing."""
    unread = [
        f"{service.where}: {name}"
        for service in OURS
        for name in service.environment
        if name not in service.reads()
    ]
    asked = [
        f"{path.name}: {found['name']}"
        for path in COMPOSE_FILES
        for found in VARIABLE.finditer(path.read_text())
        if found["name"].startswith("TOWONEL_") and found["name"] not in VARIABLES | OF_COMPOSE
    ]

    assert unread == []
    assert asked == []


def test_every_variable_that_a_comment_names_exists() -> None:
    """Prevents comments, which are the documentation, from naming what was renamed."""
    known = VARIABLES | OF_COMPOSE | {f"{name}_FILE" for name in VARIABLES}
    unknown = [
        f"{path.name}: {name}"
        for path in files("deploy/**/*.yaml", "deploy/compose/*.Caddyfile")
        for name in re.findall(r"\bTOWONEL_\w+[A-Z]\b(?!\*)", path.read_text())
        if name not in known
    ]

    assert unknown == []


def test_every_image_is_one_of_ours_that_is_built_or_an_official_one() -> None:
    """Prevents a name that no registry has; where ours come from is the reader's choice."""
    wrong = [service.where for service in ALL if service.image not in images() | OFFICIAL.keys()]

    assert wrong == []
    assert PROGRAMS.keys() <= images()
    assert all(
        service.body["image"] == f"{service.image}:latest" and "${TOWONEL_REGISTRY:-}" in text
        for service in OURS
        for text in [service.file.read_text()]
    )


def test_every_published_port_is_one_that_the_image_listens_on() -> None:
    """Prevents a port that leads to nothing, and health addresses that the whole internet reads."""
    for service in ALL:
        for port in service.body.get("ports", ()):
            inside = int(re.sub(r"/udp$", "", str(port)).rpartition(":")[2])
            known = PORTS.get(service.image) or OFFICIAL[service.image]

            assert inside in known, f"{service.where}: {port}"
            assert inside not in METRICS_PORTS.values() or str(port).startswith("127.0.0.1:")


def sources(service: Service) -> list[str]:
    """Return the volumes of a service: names, and paths of this machine."""
    return [str(volume).partition(":")[0] for volume in service.body.get("volumes", ())]


def names(service: Service, kind: str) -> Iterable[str]:
    return (str(one) for one in service.body.get(kind, ()))


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.stem)
def test_volumes_networks_and_secrets_are_declared_and_used(path: Path) -> None:
    """Prevents data in a volume without a name, which the next `up` does not find."""
    content = read(path)
    own = [service for service in ALL if service.file == path]
    volumes = {name for service in own for name in sources(service) if not name.startswith(".")}
    networks = {name for service in own for name in names(service, "networks")}
    secrets = {name for service in own for name in names(service, "secrets")}

    assert volumes == content.get("volumes", {}).keys()
    assert networks == content.get("networks", {}).keys()
    assert secrets == content.get("secrets", {}).keys()


def test_every_file_that_is_mounted_is_in_the_tree() -> None:
    """Prevents Docker from making an empty folder in the place of a file that was moved."""
    missing = [
        f"{service.where}: {source}"
        for service in ALL
        for source in sources(service)
        if source.startswith(".") and not (FOLDER / source).exists()
    ]

    assert missing == []


def test_no_secret_has_a_default_and_none_is_in_the_environment_but_a_token_that_was_given() -> (
    None
):
    """Prevents a password that everybody knows; a missing one stops `docker compose` with its reason."""
    secret = re.compile(r"PASSWORD|TOKEN|SECRET|DSN|REDIS_URL|_KEY$")
    in_environment = [
        f"{service.where}: {name}"
        for service in ALL
        for name in service.environment
        if secret.search(name) and not name.endswith("_FILE")
    ]
    defaults = [
        found[0]
        for path in COMPOSE_FILES
        for found in VARIABLE.finditer(path.read_text())
        if secret.search(found["name"]) and found["sign"] == ":-"
    ]

    assert in_environment == ["edge.yaml edge: TOWONEL_EDGE_INVITE_TOKEN"]
    assert defaults == []


def test_a_variable_that_must_be_set_is_explained_where_it_is_first_read() -> None:
    """Prevents a container that starts with an empty name, and fails in words of its own."""
    for path in COMPOSE_FILES:
        signs: dict[str, str | None] = {}
        for found in VARIABLE.finditer(re.sub(r"#.*", "", path.read_text())):
            if found["sign"] == ":?":
                assert found["rest"].startswith("set it to ")
            signs.setdefault(found["name"], found["sign"])

        required = {name for name, sign in signs.items() if sign != ":-"}
        asked = set(re.findall(r"\$\{(\w+):\?", path.read_text()))
        assert required - asked == set(), path.name


@pytest.mark.parametrize("service", ALL, ids=lambda service: service.where)
def test_a_container_has_no_rights_that_it_does_not_need(service: Service) -> None:
    """Prevents one that is broken into from doing more than it must be able to."""
    body = service.body
    privileged = (service.file.name, service.name) == (
        "edge.yaml",
        "edge",
    )  # port 443 of the machine

    assert body["cap_drop"] == ["ALL"]
    assert body.get("read_only", False) or service.name == "postgres"
    assert ("no-new-privileges:true" in body.get("security_opt", ())) != privileged
    assert body.get("cap_add", ["NET_BIND_SERVICE"]) == ["NET_BIND_SERVICE"]


@pytest.mark.parametrize("service", RUNNING, ids=lambda service: service.where)
def test_a_container_comes_back_after_a_restart_of_the_machine(service: Service) -> None:
    assert service.body["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", OURS, ids=lambda service: service.where)
def test_docker_waits_for_longer_than_the_program_drains(service: Service) -> None:
    """Prevents connections that were promised time from being cut by Docker's ten seconds."""
    drain_s = max((DRAINS.get(cls, 0) for cls in PROGRAMS[service.image]), default=0)

    grace = service.body.get("stop_grace_period", "10s")
    assert service.name == "cli" or int(str(grace).removesuffix("s")) > drain_s


@pytest.mark.parametrize("path", files("deploy/compose/targets/*.yaml"), ids=lambda path: path.stem)
def test_prometheus_asks_services_that_there_are_where_they_have_metrics(path: Path) -> None:
    """Prevents a target that is always down, or never watched."""
    groups: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    measured = [service for service in OURS if "metrics" in names(service, "networks")]

    for group in groups:
        for target in group["targets"]:
            host, _, port = target.partition(":")
            [job] = group["labels"].values()
            assert int(port) == METRICS_PORTS[job]
            assert host in {service.name for service in measured}
    assert "metrics" in read(FOLDER / "monitoring.yaml")["networks"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A:-x}:${B}", "x:b"),
        ("${A:-${B}:443}", "b:443"),
        ("${C:?set it to a name}", "given"),
        ("$$(cat ${A:-f})", "$$(cat f)"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    """Prevents the checks above from reading other files than `docker compose` does."""
    assert fill_in(text, {"C": "given"}) == filled
