"""What the demo consists of: names, ports, and the environment of each program."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOSTNAME = "app.demo.example"
HOST = "127.0.0.1"
DEFAULT_BASE = 14_443
PAGE_TITLE = "Hello from home"


@dataclass(frozen=True, slots=True)
class Ports:
    """Six ports in a row, all on loopback."""

    edge: int
    origin: int
    hub: int
    hub_health: int
    edge_health: int
    agent_health: int

    @classmethod
    def starting_at(cls, base: int) -> "Ports":
        return cls(*range(base, base + 6))

    def roles(self) -> dict[int, str]:
        """What each port is for, in words."""
        return {
            self.edge: "the edge, for clients and agents",
            self.origin: "the service at home",
            self.hub: "the hub's API",
            self.hub_health: "the hub's health",
            self.edge_health: "the edge's health",
            self.agent_health: "the agent's health",
        }


def serve_environment(ports: Ports, folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what `towonel serve` runs with: everything on loopback, state in `folder`."""
    return {
        **inherited,
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_LISTEN_ADDR": f"{HOST}:{ports.hub}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"{HOST}:{ports.hub_health}",
        "TOWONEL_HUB_PUBLIC_URL": f"http://{HOST}:{ports.hub}",
        "TOWONEL_EDGE_LISTEN_ADDR": f"{HOST}:{ports.edge}",
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR": f"{HOST}:{ports.edge_health}",
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"{HOST}:{ports.edge}",
        "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS": "3",  # nobody waits for a demo
    }


def agent_environment(ports: Ports, token: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what the agent runs with; the token and the services are all it needs."""
    service = {
        "hostname": HOSTNAME,
        "origin": f"{HOST}:{ports.origin}",
        "proxy_protocol": "none",  # this origin does not read PROXY headers
    }
    return {
        **inherited,
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_AGENT_SERVICES": json.dumps([service]),
        "TOWONEL_AGENT_HEALTH_LISTEN_ADDR": f"{HOST}:{ports.agent_health}",
        "TOWONEL_AGENT_DRAIN_TIMEOUT_SECS": "3",
        "TOWONEL_LOG_FORMAT": "json",
    }


def curl_line(ports: Ports, certificate: Path) -> str:
    """Return the command that does the visit again."""
    return (
        f"curl --resolve {HOSTNAME}:{ports.edge}:{HOST} --cacert {certificate}"
        f" https://{HOSTNAME}:{ports.edge}/"
    )
