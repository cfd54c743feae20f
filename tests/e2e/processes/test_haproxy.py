"""HAProxy in front of an edge: its health checks pass, and its clients keep their addresses."""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio
from support.haproxy import haproxy
from support.origins import Certificates, Nginx
from support.stack import Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    """The edge reads PROXY headers of loopback."""
    return {"TOWONEL_EDGE_PROXY_PROTOCOL": "true"}


@pytest_asyncio.fixture(loop_scope="module")
async def serving(processes: Stack, web: Nginx, hostname: str) -> Stack:
    token = await processes.invite(hostname)
    await processes.start_agent(token, service(hostname, web.proxied, proxy_protocol="v2"))
    return processes


@pytest.mark.parametrize(
    ("check", "status"), [("", "L4OK"), ("check-ssl verify none check-sni {}", "L6OK")]
)
async def test_a_load_balancer_that_checks_with_local_headers_serves_its_clients(
    serving: Stack,
    certificates: Certificates,
    hostname: str,
    tmp_path: Path,
    check: str,
    status: str,
) -> None:
    async with haproxy(tmp_path / "haproxy", serving.edge_port, check.format(hostname)) as front:

        async def is_checked() -> bool:
            server = await front.server()
            return server["check_status"] == status and server["status"] == "UP"

        await until((tmp_path / "haproxy/haproxy.sock").exists)
        await until(is_checked)
        source = await who(front.port, certificates, hostname)
        server = await front.server()

    assert source == f"127.0.0.5 {hostname}"
    assert (server["status"], server["chkfail"]) == ("UP", "0")


async def who(port: int, certificates: Certificates, hostname: str) -> str:
    """The address of a client on 127.0.0.5, and the name it asked for, as the origin sees them."""
    reader, writer = await asyncio.open_connection(
        *("127.0.0.1", port),
        ssl=certificates.client(),
        server_hostname=hostname,
        local_addr=("127.0.0.5", 0),
    )
    writer.write(f"GET /who HTTP/1.0\r\nHost: {hostname}\r\n\r\n".encode())
    answer = (await reader.read()).decode().partition("\r\n\r\n")[2].strip()
    writer.close()
    address, _, name = answer.partition(" ")
    return f"{address.rpartition(':')[0]} {name}"
