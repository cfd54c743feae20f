"""Pebble: an ACME authority for tests, which finds every name on this machine."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme
from support.polling import pauses
from support.ports import free_port

READY_S = 20


@dataclass(frozen=True)
class Pebble:
    """Authority, and where it is."""

    directory: str
    management: str
    root: Path  # certificates that its own is checked by
    log: Path

    def trust(self) -> ssl.SSLContext:
        """Return what trusts this address of the authority."""
        return ssl.create_default_context(cafile=str(self.root))

    async def clients(self) -> ssl.SSLContext:
        """Return a client's context that trusts the certificates that were issued."""
        async with httpx.AsyncClient(verify=self.trust()) as http:
            answer = await http.get(f"{self.management}/roots/0")
        return ssl.create_default_context(cadata=answer.text)


@contextlib.asynccontextmanager
async def pebble(
    folder: Path, tls_port: int, ports: tuple[int, ...] = (), **environ: str
) -> AsyncIterator[Pebble]:
    """Run an authority that looks at challenges on a port of this machine; its own four ports may be given."""
    ports = ports or find_ports()
    _write_files(folder, ports, tls_port)
    found = Pebble(
        f"https://127.0.0.1:{ports[0]}/dir",
        f"https://127.0.0.1:{ports[1]}",
        folder / "root.crt",
        folder / "pebble.log",
    )
    dns = f"127.0.0.1:{ports[2]}"
    authority = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", dns]
    environ = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", **environ}
    async with (
        _running(_name_server(dns, ports[3]), folder / "dns.log", environ),
        _running(authority, folder / "pebble.log", environ),
    ):
        await _wait_ready(found, ports[2])
        yield found


def _name_server(dns: str, management: int) -> list[str]:
    """Return the command of a name server that finds every name on this machine."""
    command = ["pebble-challtestsrv", "-dns01", dns, "-management", f"127.0.0.1:{management}"]
    for flag in ("-http01", "-https01", "-tlsalpn01", "-defaultIPv6"):
        command += [flag, ""]
    return [*command, "-defaultIPv4", "127.0.0.1"]


def find_ports() -> tuple[int, ...]:
    """Return free ports for an authority."""
    return tuple(free_port() for _ in range(4))


def _write_files(folder: Path, ports: tuple[int, ...], tls_port: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    own = trustme.CA()
    issued = own.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "pebble.crt"))
    issued.private_key_pem.write_to_path(str(folder / "pebble.key"))
    own.cert_pem.write_to_path(str(folder / "root.crt"))
    settings = {
        "listenAddress": f"127.0.0.1:{ports[0]}",
        "managementListenAddress": f"127.0.0.1:{ports[1]}",
        "certificate": str(folder / "pebble.crt"),
        "privateKey": str(folder / "pebble.key"),
        "httpPort": 1,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))


@contextlib.asynccontextmanager
async def _running(command: list[str], log: Path, environ: dict[str, str]) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env={"PATH": "/usr/sbin:/usr/bin", **environ}
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended, and its log says why
            process.kill()
        await process.wait()


async def _wait_ready(found: Pebble, dns_port: int) -> None:
    async with asyncio.timeout(READY_S), httpx.AsyncClient(verify=found.trust()) as http:
        for pause_s in pauses():
            with contextlib.suppress(httpx.HTTPError, OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", dns_port)
                writer.close()
                (await http.get(found.directory)).raise_for_status()
                return
            await asyncio.sleep(pause_s)
