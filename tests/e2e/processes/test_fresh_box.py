"""A fresh box: one command, and the hub's own name answers with a certificate that nobody put there."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from support import plain_http
from support.mounts import Mounts, needs_root
from support.pebble import Pebble, pebble
from support.ports import free_port
from support.stack import until

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.soak,
]  # small sibling: test_hub_name.py
NAME = "hub.example.eu"


@dataclass
class Box:
    """A hub and an edge under one command."""

    folder: Path
    authority: Pebble
    process: asyncio.subprocess.Process
    hub: int
    edge: int
    health_ports: tuple[int, int]

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.edge}"

    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def write_root(self) -> Path:
        """Write what agents and clients are to trust."""
        path = self.folder / "issued-root.pem"
        async with httpx.AsyncClient(verify=self.authority.trust()) as http:
            path.write_text((await http.get(f"{self.authority.management}/roots/0")).text)
        return path

    async def curl(self, path: str) -> str:
        root = await self.write_root()
        resolve = f"{NAME}:{self.edge}:127.0.0.1"
        process = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--show-error", "--fail", "--cacert", str(root)),
            *("--resolve", resolve, self.url + path),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    async def invite(self) -> str:
        key = (self.folder / "state" / "operator.key").read_text().strip()
        async with HubClient(f"http://127.0.0.1:{self.hub}", operator_key=key) as client:
            return (await client.invites.create(InviteIn(hostnames=["*.example.eu"]))).token


def make_environ(folder: Path, authority: Pebble, ports: dict[str, int]) -> dict[str, str]:
    """Return what one who starts the box says, and the addresses of the test's own."""
    addresses = {f"TOWONEL_{name}_LISTEN_ADDR": f"127.0.0.1:{port}" for name, port in ports.items()}
    return {
        "PATH": os.environ["PATH"],
        "TOWONEL_DATA_DIR": str(folder / "state"),
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_PUBLIC_URL": f"https://{NAME}:{ports['EDGE']}",
        "TOWONEL_EDGE_TLS_ACME_EMAIL": "me@example.eu",
        "TOWONEL_EDGE_TLS_ACME_DIRECTORY": authority.directory,
        "TOWONEL_EDGE_TLS_ACME_ROOT": str(authority.root),
        "TOWONEL_EDGE_TLS_ACME_CHECK_DNS": "false",  # nobody has the name here
        **addresses,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    folder = tmp_path_factory.mktemp("fresh")
    ports = {name: free_port() for name in ("HUB", "EDGE", "HUB_HEALTH", "EDGE_HEALTH")}
    async with pebble(folder / "pebble", ports["EDGE"]) as authority:
        environ = make_environ(folder, authority, ports)
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "towonel.cli", "serve"), env=environ, stdout=log, stderr=log
            )
        health_ports = ports["HUB_HEALTH"], ports["EDGE_HEALTH"]
        box = Box(folder, authority, process, ports["HUB"], ports["EDGE"], health_ports)
        try:
            await until(lambda: "certificate.issued" in box.log(), 60)
            yield box
        finally:
            process.terminate()
            await process.wait()


async def test_curl_reaches_the_api_by_the_hubs_name(box: Box) -> None:
    assert '"status"' in await box.curl("/v1/health")


@needs_root
async def test_an_agent_elsewhere_links_with_nothing_but_its_token(box: Box) -> None:
    token, root = await box.invite(), await box.write_root()
    hosts = Mounts(box.folder, {"/etc/hosts": f"127.0.0.1 localhost {NAME}\n"})
    environ = {
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_AGENT_HEALTH_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        "SSL_CERT_FILE": str(root),
    }
    agent = await hosts.runner().start("agent", environ)
    await until(lambda: "link.opened" in agent.log(), 40)
    code = await agent.stop()

    assert code == 0
    assert token not in box.log() + agent.log()


async def test_keys_are_in_files_for_their_owner_and_nowhere_else(box: Box) -> None:
    paths = [*(box.folder / "state").rglob("*.key")]
    certificate = box.folder / "state" / "certs" / f"{NAME}.key"
    [secret] = certificate.read_text().splitlines()[1:2]
    pages = [(await plain_http.get(port, "/metrics")).text for port in box.health_ports]
    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]

    assert certificate in paths
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert secret not in box.log() + "".join(pages)
    assert not any(secret.encode() in each for each in arguments)
    assert box.process.returncode is None
