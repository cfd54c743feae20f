"""Each file of deploy/compose, used as its head says: up, a request through the tunnel, down, up with its data."""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from support.compose_project import Project, fetch, find_missing, stand_in, until
from support.ports import free_port

HUB, APP = "hub.example.eu", "app.example.eu"
ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
LOCAL = {"CADDY_GLOBAL_OPTIONS": "local_certs"}
PASSWORD_CHARACTERS = 24
USER = 10001  # of our images
# What the files leave to the world: public names, free ports of the machine, and an authority that all trust.
HEALTH = "healthcheck: {interval: 2s}"
ONE_BOX = f"""
services:
  towonel:
    ports: !reset []
    {HEALTH}
    networks: {{default: {{aliases: [{HUB}]}}}}
    environment: {{TOWONEL_EDGE_TLS_CERT_DIR: /certificates}}
    volumes: ["CERTIFICATES:/certificates:ro"]
"""
PLAIN_HUB = f"""
services:
  towonel:
    ports: !reset []
    {HEALTH}
    environment: {{TOWONEL_EDGE_ADVERTISED_ADDRESSES: "towonel:443"}}
  proxy:
    image: caddy:2
    command: [caddy, reverse-proxy, --from, "https://{HUB}:8443", --to, "towonel:8443", --internal-certs]
    networks: {{default: {{aliases: [{HUB}]}}}}
"""
SPLIT_HUB = f"""
services:
  hub-1: {{{HEALTH}}}
  hub-2: {{{HEALTH}}}
  balancer: {{ports: !reset []}}
  edge:
    ports: !reset []
    {HEALTH}
    environment: {{SSL_CERT_FILE: /authority.pem}}
    volumes: ["./authority.pem:/authority.pem:ro"]
"""
AGENT = f"""
services:
  agent:
    {HEALTH}
    environment: {{SSL_CERT_FILE: /authority.pem}}
    volumes: ["AUTHORITY:/authority.pem:ro"]
    networks: [hub]
networks:
  hub: {{external: true, name: PROJECT_default}}
"""
type Make = Callable[..., Project]
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("compose")]
_numbers = count(1)


@pytest.fixture(scope="module")
def images() -> None:
    """All images: official ones that no registry gave are made of Debian's packages."""
    if (missing := find_missing()) is not None:
        pytest.skip(f"needs {missing}")
    stand_in("caddy:2", "caddy")
    stand_in("prom/prometheus:v3.5.0", "prometheus")


@pytest.fixture
def project(images: None, tmp_path: Path) -> Iterator[Make]:
    """Make projects of files of deploy/compose; what they started is gone after the test."""
    made: list[Project] = []

    def make(*files: str, overlay: str, **variables: str) -> Project:
        name = f"towonel-test-{os.getpid()}-{next(_numbers)}"
        made.append(Project(name, files, tmp_path, variables, overlay))
        return made[-1]

    yield make
    for one in reversed(made):
        one.down(volumes=True)


class Tunnel:
    """An agent beside its app, and clients that ask for it at the edge."""

    def __init__(
        self, make: Make, hub: Project, folder: Path, token: str, proxy: str | None = None
    ) -> None:
        self.authority = folder / "authority.pem"
        if proxy is not None:  # else the edge has the hub's certificate
            self.trust(hub, proxy)
        (folder / "invite_token").write_text(token)
        overlay = AGENT.replace("AUTHORITY", str(self.authority)).replace("PROJECT", hub.name)
        token_file = str(folder / "invite_token")
        self.agent = make(
            "agent.yaml", overlay=overlay, APP_HOSTNAME=APP, INVITE_TOKEN=token_file, **LOCAL
        )
        self.hub = hub

    def trust(self, hub: Project, proxy: str) -> None:
        """Have the agent trust the authority of the hub's proxy, which is no public one here."""
        read = ("exec", "-T", proxy, "cat", ROOT_CERTIFICATE)
        self.authority.write_text(until(lambda: hub.run(*read)))

    def request(self, edge: str) -> None:
        """Ask for the app's page at an edge, which tells the app the client's address."""
        is_container = "." not in edge
        address = (self.hub.address(edge) if is_container else edge, 443)
        read = ("exec", "-T", "app", "cat", ROOT_CERTIFICATE)
        certificate = until(lambda: self.agent.run(*read))
        page, own = until(lambda: fetch(address, APP, certificate))

        assert "200 OK" in page
        # The engine translates what this machine sends to its own address in a bridge.
        assert f"Through the tunnel, for {own if is_container else ''}" in page

    def close(self) -> None:
        self.agent.down()


def invite(hub: Project, *command: str) -> str:
    made = hub.run(*command, "invite", "create", "--name", "home", "--hostnames", APP, "--json")
    return str(json.loads(made)["token"])


def check_data_survives(hub: Project, tunnel: Tunnel, edge: str, profile: str = "") -> None:
    """Take everything down and up again: the same token, with the same keys, gets the same service."""
    tunnel.close()
    hub.down()
    hub.up(profile=profile)
    tunnel.agent.up()

    tunnel.request(edge)


def make_box(make: Make, folder: Path, *files: str, overlay: str = "") -> Project:
    """Make the project of one box, whose edge has a certificate of the hub's name: no authority is public here."""
    certificates = folder / "certificates"
    certificates.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert(HUB)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.cert_chain_pems[0].write_to_path(str(certificates / f"{HUB}.crt"))
    key = certificates / f"{HUB}.key"
    key.touch(0o600)
    issued.private_key_pem.write_to_path(str(key))
    for path in (certificates, key):
        os.chown(path, USER, USER)
    overlay = ONE_BOX.replace("CERTIFICATES", str(certificates)) + overlay
    variables = {"HUB_DOMAIN": HUB, "ACME_EMAIL": "me@example.eu"}
    return make("compose.yaml", *files, overlay=overlay, **variables)


def test_one_box_whose_edge_answers_the_hubs_own_name(project: Make, tmp_path: Path) -> None:
    hub = make_box(project, tmp_path)
    hub.up()
    token = invite(hub, "exec", "-T", "towonel", "towonel")
    tunnel = Tunnel(project, hub, tmp_path, token)
    tunnel.agent.up()
    tunnel.request("towonel")

    check_data_survives(hub, tunnel, "towonel")


def test_one_box_behind_a_proxy_of_the_users(project: Make, tmp_path: Path) -> None:
    hub = project("plain.yaml", overlay=PLAIN_HUB, HUB_URL=f"https://{HUB}:8443")
    hub.up()
    token = invite(hub, "exec", "-T", "towonel", "towonel")
    tunnel = Tunnel(project, hub, tmp_path, token, "proxy")
    tunnel.agent.up()
    tunnel.request("towonel")
    tunnel.close()
    hub.down()
    hub.up()
    tunnel.trust(hub, "proxy")  # it has no volume: its authority is another one now
    tunnel.agent.up()

    tunnel.request("towonel")


def make_secrets(folder: Path) -> dict[str, str]:
    """Make the passwords, as the head of split.yaml says."""
    postgres, redis = (secrets.token_hex(PASSWORD_CHARACTERS) for _ in range(2))
    texts = {
        "postgres_password": postgres,
        "redis_password": redis,
        "hub_dsn": f"postgres://towonel:{postgres}@postgres/towonel",
        "redis_url": f"redis://:{redis}@redis:6379/0",
    }
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n")
    return {"SECRETS": str(folder), "HUB_DOMAIN": HUB, "EDGE_ADDRESS": "edge:443", **LOCAL}


def start_split(make: Make, folder: Path) -> tuple[Project, Tunnel]:
    overlay = SPLIT_HUB.replace("./authority.pem", str(folder / "authority.pem"))
    hub = make("split.yaml", overlay=overlay, **make_secrets(folder))
    hub.up()
    cli = ("run", "--rm", "-T", "cli")
    printed = hub.run(*cli, "edge-invite", "create", "--name", "first")
    (folder / "edge_token").write_text(printed.splitlines()[-1])
    tunnel = Tunnel(make, hub, folder, invite(hub, *cli), "balancer")
    hub.up(profile="edge")
    tunnel.agent.up()
    return hub, tunnel


def test_hub_and_edge_apart_with_two_hubs(project: Make, tmp_path: Path) -> None:
    hub, tunnel = start_split(project, tmp_path)
    tunnel.request("edge")

    check_data_survives(hub, tunnel, "edge", profile="edge")


def test_either_hub_is_enough_for_a_new_agent(project: Make, tmp_path: Path) -> None:
    hub, tunnel = start_split(project, tmp_path)
    for stopped in ("hub-1", "hub-2"):
        hub.run("stop", stopped)
        tunnel.close()
        tunnel.agent.up()

        tunnel.request("edge")
        hub.run("start", stopped)
        hub.up(stopped)


# In the machine's network, but on an address of this test: that of the bridge, where port 443 is low, too, and free.
SECOND_EDGE = f"""
services:
  edge:
    {HEALTH}
    environment:
      TOWONEL_EDGE_LISTEN_ADDR: GATEWAY:443
      TOWONEL_EDGE_ADVERTISED_ADDRESSES: GATEWAY:443
      SSL_CERT_FILE: /authority.pem
    volumes: ["AUTHORITY:/authority.pem:ro"]
    extra_hosts: ["{HUB}:THERE"]
"""


def test_one_more_edge_from_one_variable(project: Make, tmp_path: Path) -> None:
    hub = make_box(project, tmp_path)
    hub.up()
    towonel = ("exec", "-T", "towonel", "towonel")
    printed = hub.run(*towonel, "edge-invite", "create", "--name", "second")
    tunnel = Tunnel(project, hub, tmp_path, invite(hub, *towonel))
    gateway = hub.gateway()
    overlay = SECOND_EDGE.replace("GATEWAY", gateway).replace("THERE", hub.address("towonel"))
    overlay = overlay.replace("AUTHORITY", str(tunnel.authority))
    variables = {
        "TOWONEL_EDGE_INVITE_TOKEN": printed.splitlines()[-1],
        "EDGE_HEALTH": f"127.0.0.1:{free_port()}",
    }
    edge = project("edge.yaml", overlay=overlay, **variables)
    edge.up()
    tunnel.agent.up()
    tunnel.request(gateway)
    edge.down()
    edge.up()

    tunnel.request(gateway)


def ask_prometheus(watched: Project, path: str, kind: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers, of a kind."""
    url = f"http://{watched.address('prometheus', 'monitoring')}:9090/api/v1/{path}"
    return list(httpx.get(url, timeout=10).raise_for_status().json()["data"][kind])


def test_prometheus_beside_one_box_watches_hub_and_edge(project: Make, tmp_path: Path) -> None:
    overlay = "  prometheus: {ports: !reset []}\n"
    watched = make_box(project, tmp_path, "monitoring.yaml", overlay=overlay)
    watched.variables["GRAFANA_PASSWORD"] = str(tmp_path / "grafana_password")
    watched.up("towonel", "prometheus")  # no registry gives Grafana here
    targets = until(lambda: all_up(ask_prometheus(watched, "targets", "activeTargets")))
    groups = ask_prometheus(watched, "rules", "groups")

    assert targets == {"towonel-hub", "towonel-edge"}
    assert {group["name"] for group in groups} >= targets
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def all_up(targets: list[dict[str, Any]]) -> set[str]:
    """Return the jobs of the targets, once all of them answer."""
    assert {target["health"] for target in targets} == {"up"}
    return {target["labels"]["job"] for target in targets}
