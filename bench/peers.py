"""Peers of Towonel as they come: two processes each, as on two machines, and all on loopback."""

import contextlib
import getpass
import os
import socket
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from load_driver import HOSTNAME
from subject import Entry, SubjectError, find, run_program, wait_listening
from support.ports import free_port

type Entries = AsyncIterator[Entry]
BORE_PORT = 7835  # where its server listens, always

HAPROXY = """
global
  fd-hard-limit 50000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
"""
HAPROXY_EDGE = """
frontend edge
  bind 127.0.0.1:{edge}
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req_ssl_hello_type 1 }}
  use_backend home if {{ req_ssl_sni {hostname} }}
backend home
  server home 127.0.0.1:{home}
"""
HAPROXY_HOME = """
listen home
  bind 127.0.0.1:{home}
  server origin 127.0.0.1:{origin}
"""


@contextlib.asynccontextmanager
async def haproxy_twice(folder: Path, origin: int) -> Entries:
    """The two hops of a tunnel, the first by the server's name; nothing is encrypted in between."""
    edge, home = free_port(), free_port()
    parts = {
        "client": (home, HAPROXY_HOME.format(home=home, origin=origin)),
        "server": (edge, HAPROXY_EDGE.format(edge=edge, home=home, hostname=HOSTNAME)),
    }
    roots: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as exits:
        for side, (port, part) in parts.items():
            configuration, log = folder / f"{side}.cfg", folder / f"{side}.log"
            configuration.write_text(HAPROXY + part)
            run = run_program(log, "haproxy", "-db", "-f", configuration)
            process = await exits.enter_async_context(run)
            await wait_listening(process, log, port)
            roots[side] = process.pid
        yield Entry(edge, roots)


@contextlib.asynccontextmanager
async def rathole(folder: Path, origin: int) -> Entries:
    async with _rathole(folder, origin, 'type = "tcp"', 'type = "tcp"') as entry:
        yield entry


@contextlib.asynccontextmanager
async def rathole_noise(folder: Path, origin: int) -> Entries:
    """Encrypted, with the pattern that is its default."""
    key = X25519PrivateKey.generate()
    private = b64encode(key.private_bytes_raw()).decode()
    public = b64encode(key.public_key().public_bytes_raw()).decode()
    server = f'type = "noise"\nnoise.local_private_key = "{private}"'
    client = f'type = "noise"\nnoise.remote_public_key = "{public}"'
    async with _rathole(folder, origin, server, client) as entry:
        yield entry


@contextlib.asynccontextmanager
async def rathole_udp(folder: Path, origin: int) -> Entries:
    """A UDP service; its datagrams go over TCP, in the clear."""
    plain, kind = 'type = "tcp"', 'type = "udp"'
    async with _rathole(folder, origin, plain, plain, kind) as entry:
        yield entry


RATHOLE_SERVER = """
[server]
bind_addr = "127.0.0.1:{control}"
default_token = "bench"
[server.services.app]
{kind}
bind_addr = "127.0.0.1:{port}"
[server.transport]
{server}
"""
RATHOLE_CLIENT = """
[client]
remote_addr = "127.0.0.1:{control}"
default_token = "bench"
[client.services.app]
{kind}
local_addr = "127.0.0.1:{origin}"
[client.transport]
{client}
"""


def _rathole(
    folder: Path, origin: int, server: str, client: str, kind: str = 'type = "tcp"'
) -> contextlib.AbstractAsyncContextManager[Entry]:
    values = {"control": free_port(), "port": free_port(), "origin": origin}
    files = folder / "server.toml", folder / "client.toml"
    files[0].write_text(RATHOLE_SERVER.format(server=server, kind=kind, **values))
    files[1].write_text(RATHOLE_CLIENT.format(client=client, kind=kind, **values))
    return _server_and_client(
        *(folder, ("rathole", "--server", files[0]), ("rathole", "--client", files[1])),
        *(values["control"], values["port"]),
        is_tcp="tcp" in kind,
    )


@contextlib.asynccontextmanager
async def bore(folder: Path, origin: int) -> Entries:
    host, port = _address_for_bore(), free_port()
    server = ("bore", "server", "--bind-addr", host, "--bind-tunnels", "127.0.0.1")
    client = ("bore", "local", origin, "--local-host", "127.0.0.1", "--to", host, "--port", port)
    async with _server_and_client(folder, server, client, BORE_PORT, port, host) as entry:
        yield entry


def _address_for_bore() -> str:
    """Its port is fixed, so another one on this machine may have it on some address."""
    for last in range(1, 255):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((f"127.0.0.{last}", BORE_PORT))
                return f"127.0.0.{last}"
    raise SubjectError(f"port {BORE_PORT} is taken on every address of loopback")


FRP_SERVER = """
bindAddr = "127.0.0.1"
bindPort = {control}
proxyBindAddr = "127.0.0.1"
log.level = "warn"
"""
FRP_CLIENT = """
serverAddr = "127.0.0.1"
serverPort = {control}
log.level = "warn"
[[proxies]]
name = "app"
type = "{kind}"
localIP = "127.0.0.1"
localPort = {origin}
remotePort = {port}
"""


@contextlib.asynccontextmanager
async def frp(folder: Path, origin: int) -> Entries:
    """With its defaults: TLS, and all clients on one connection."""
    async with _frp(folder, origin, "tcp") as entry:
        yield entry


@contextlib.asynccontextmanager
async def frp_udp(folder: Path, origin: int) -> Entries:
    """A UDP proxy; its datagrams go over the connection of all, inside TLS."""
    async with _frp(folder, origin, "udp") as entry:
        yield entry


def _frp(folder: Path, origin: int, kind: str) -> contextlib.AbstractAsyncContextManager[Entry]:
    control, port = free_port(), free_port()
    values = {"control": control, "port": port, "origin": origin, "kind": kind}
    files = folder / "frps.toml", folder / "frpc.toml"
    files[0].write_text(FRP_SERVER.format(**values))
    files[1].write_text(FRP_CLIENT.format(**values))
    commands = ("frps", "-c", files[0]), ("frpc", "-c", files[1])
    return _server_and_client(folder, *commands, control, port, is_tcp=kind == "tcp")


SSHD = """
ListenAddress 127.0.0.1:{control}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
"""
SSH = {
    "BatchMode": "yes",
    "ExitOnForwardFailure": "yes",
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
}


@contextlib.asynccontextmanager
async def ssh(folder: Path, origin: int) -> Entries:
    """A server of its own, and `ssh -R`."""
    control, port = free_port(), free_port()
    for name in ("host_key", "key"):
        command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        subprocess.run(command, check=True)
    configuration = folder / "sshd_config"
    configuration.write_text(SSHD.format(folder=folder, control=control))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its service does
    options = [word for name, value in SSH.items() for word in ("-o", f"{name}={value}")]
    forward = f"127.0.0.1:{port}:127.0.0.1:{origin}"
    target = ("-p", control, f"{getpass.getuser()}@127.0.0.1")
    server = ("sshd", "-D", "-e", "-f", configuration)
    client = ("ssh", "-N", "-F", "none", "-i", folder / "key", *options, "-R", forward, *target)
    async with _server_and_client(folder, server, client, control, port) as entry:
        yield entry


@contextlib.asynccontextmanager
async def _server_and_client(
    folder: Path,
    server: tuple[object, ...],
    client: tuple[object, ...],
    control: int,
    port: int,
    host: str = "127.0.0.1",
    *,
    is_tcp: bool = True,
) -> Entries:
    """A server, and a client that has it listen on a public port, of which one of UDP tells nothing."""
    logs = folder / "server.log", folder / "client.log"
    async with run_program(logs[0], str(server[0]), *server[1:]) as one:
        await wait_listening(one, logs[0], control, host)
        async with run_program(logs[1], str(client[0]), *client[1:]) as other:
            if is_tcp:
                await wait_listening(other, logs[1], port)
            yield Entry(port, {"server": one.pid, "client": other.pid})


def find_obstacle_to_noise() -> str | None:
    """Rathole can be built without it."""
    features = _output("rathole", "--version")
    return None if "noise" in features or "Features" not in features else "rathole has no noise"


def _output(program: str, *arguments: str) -> str:
    command = (find(program) or program, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
