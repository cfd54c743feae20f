"""Addresses that an edge tells agents where nobody told it any."""

import socket
from ipaddress import ip_address

import pytest
import structlog

from towonel.edge.own_addresses import find_addresses, guess_addresses
from towonel.edge.settings import EdgeSettings
from towonel.runtime.settings import load

ALL = "0.0.0.0"  # noqa: S104 a name of all addresses, and nothing is bound


@pytest.mark.parametrize("listen", [ALL, "::"])
def test_a_guess_is_of_this_machine_and_is_logged(listen: str) -> None:
    with structlog.testing.capture_logs() as logged:
        found = guess_addresses(listen, 4433)

    hosts = [address.rpartition(":")[0].strip("[]") for address in found]
    for host in hosts:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            own.bind((host, 0))
    assert found
    assert all(address.endswith(":4433") for address in found)
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("addresses.guessed", "warning")
    ]
    assert logged[0]["unset"] == "TOWONEL_EDGE_ADVERTISED_ADDRESSES"


def test_without_a_network_the_guess_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", refuse)

    assert guess_addresses(ALL, 443) == ["127.0.0.1:443"]
    assert guess_addresses("::", 443) == ["[::1]:443"]
    session = {"TOWONEL_DATA_DIR": "/state", "TOWONEL_EDGE_SESSION_LISTEN_ADDR": "[::]:4433"}
    assert find_addresses(load(EdgeSettings, session), 4433) == ["[::1]:4433"]
