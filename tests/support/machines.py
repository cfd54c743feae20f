"""Machines of a small internet, each with a Docker engine of its own, on which commands run as documents have them.

    anywhere   10.78.0.1   names, and an authority that certifies as Let's Encrypt does, where that is asked
    vps        10.78.0.2   whatever a test adds
    home       10.78.0.3

A machine is a network namespace. What runs on it reads its own resolv.conf, and trusts the internet's authority only.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from support.compose_project import DOCKER, docker, until

SUPPORT = Path(__file__).parent
NETWORK = "10.78.0"
AUTHORITY = "acme-v02.api.letsencrypt.org"
RESOLV, TRUSTED = "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"
CADDYFILE = f"""{{
    admin off
    persist_config off
    storage file_system FOLDER/authority
    skip_install_trust
    auto_https disable_redirects
    pki {{
        ca local {{
            root {{
                cert FOLDER/ca.pem
                key FOLDER/ca.key
            }}
        }}
    }}
}}
https://{AUTHORITY} {{
    tls FOLDER/site.pem FOLDER/site.key
    rewrite /directory /acme/local/directory
    acme_server
}}
"""
# Mounts are the process' own: each gets the machine's files in the place of those of the computer.
ENTER = f'mount --bind "$1" {RESOLV}; mount --bind "$2" {TRUSTED}; cd "$3"; shift 3; exec "$@"'
END_S = 60.0
PATIENCE_S = 240.0  # on a machine with much else to do


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True)


@dataclass
class Machine:
    """One machine: `run` is a shell on it."""

    name: str
    address: str
    folder: Path
    shared: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def namespace(self) -> str:
        return f"{self.shared.name}-{self.name}"

    @property
    def socket(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def command(self, *command: str) -> list[str]:
        """Return a command that runs on this machine."""
        files = (str(self.shared / "resolv.conf"), str(self.shared / "ca.pem"), str(self.folder))
        enter = ("nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount")
        return [*enter, "sh", "-ec", ENTER, "sh", *files, *command]

    def run_block(self, commands: str) -> str:
        """Run lines of shell as they are, in the folder that the lines before them have left the shell in."""
        cwd = self.folder / "cwd"
        before = f"cd {cwd.read_text()}" if cwd.exists() else ""
        return self.run(f"{before}\n{commands}\npwd > {cwd}")

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program, whose log is beside the machine's files."""
        with (self.folder / f"{Path(command[0]).name}.log").open("wb") as log:
            return subprocess.Popen(self.command(*command), stdout=log, stderr=log)

    def run(self, script: str, stdin: str = "") -> str:
        """Run lines of shell as they are, and return what they print; a failure says everything."""
        assert DOCKER is not None
        path = f"{Path(DOCKER).parent}:{os.environ['PATH']}"
        home = {
            "HOME": str(self.folder),
            "DOCKER_HOST": self.socket,
            "DOCKER_CONFIG": "/root/.docker",
        }
        done = subprocess.run(
            self.command("bash", "-euo", "pipefail", "-c", script),
            env={"PATH": path, "LANG": "C.UTF-8", **home, **self.environ},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def docker(self, *arguments: str) -> str:
        return docker("-H", self.socket, *arguments)

    def clear(self) -> None:
        """Remove all containers, and what they have stored."""
        if made := self.docker("ps", "-aq").split():
            self.docker("rm", "-fv", *made)
        for each in ("volume", "network"):
            self.docker(each, "prune", "-f")
        if made := self.docker("volume", "ls", "-q").split():
            self.docker("volume", "rm", *made)
        (self.folder / "cwd").unlink(missing_ok=True)

    def load(self, images: Iterable[str]) -> None:
        """Copy images of the computer's engine to this one, and have them trust the internet's authority."""
        assert DOCKER is not None
        names = [*images]
        with subprocess.Popen((DOCKER, "save", *names), stdout=subprocess.PIPE) as saved:
            into = (DOCKER, "-H", self.socket, "load", "--quiet")
            subprocess.run(into, stdin=saved.stdout, check=True, capture_output=True)
        for name in names:
            made = self.docker("create", name).strip()
            self.docker("cp", str(self.shared / "ca.pem"), f"{made}:/etc/ssl/towonel-test.pem")
            change = "ENV SSL_CERT_FILE=/etc/ssl/towonel-test.pem"
            self.docker("commit", "--change", change, made, name)
            self.docker("rm", made)


@dataclass
class Internet:
    """Network of machines, with the files that all of them share."""

    folder: Path
    authority: trustme.CA
    exits: contextlib.ExitStack
    machines: dict[str, Machine] = field(default_factory=dict[str, Machine])

    def add(self, name: str, images: Iterable[str] = ()) -> Machine:
        """Start a machine, with an engine that has these images."""
        machine = self.attach(name)
        files = {"--data-root": "data", "--exec-root": "exec", "--pidfile": "docker.pid"}
        flags = [f"{flag}={machine.folder / file}" for flag, file in files.items()]
        engine = machine.start("dockerd", f"--host={machine.socket}", *flags)
        self.exits.callback(end_engine, engine, machine)
        until(lambda: machine.docker("info"), PATIENCE_S)
        machine.load(images)
        return machine

    def attach(self, name: str) -> Machine:
        """Make a machine on which nothing runs yet, with a link to the bridge of the first one."""
        folder = self.folder / name
        folder.mkdir()
        machine = Machine(name, f"{NETWORK}.{len(self.machines) + 1}", folder, self.folder)
        self.machines[name] = machine
        inside = ("-n", machine.namespace)
        ip("netns", "add", machine.namespace)
        self.exits.callback(ip, "netns", "del", machine.namespace)
        ip(*inside, "link", "set", "lo", "up")
        first = next(iter(self.machines.values()))
        if machine is first:
            ip(*inside, "link", "add", "eth0", "type", "bridge")
        else:
            there = ("peer", "name", "eth0", "netns", machine.namespace)
            ip("-n", first.namespace, "link", "add", name, "type", "veth", *there)
            ip("-n", first.namespace, "link", "set", name, "up", "master", "eth0")
        ip(*inside, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up")
        return machine


def end(program: subprocess.Popen[bytes]) -> None:
    """End a program that keeps nothing."""
    program.terminate()
    try:
        program.wait(END_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def end_engine(engine: subprocess.Popen[bytes], machine: Machine) -> None:
    """Remove the containers of an engine, and end it: by itself it would wait for its containerd for 15 s."""
    try:
        machine.clear()
    finally:
        engine.kill()  # and the kernel its containerd
        engine.wait()


def write_files(folder: Path, authority: trustme.CA) -> None:
    """Write what all machines share: whom they trust, and the site of the authority."""
    site = authority.issue_cert(AUTHORITY)
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    (folder / "ca.key").write_bytes(authority.private_key_pem.bytes())
    (folder / "site.pem").write_bytes(b"".join(each.bytes() for each in site.cert_chain_pems))
    (folder / "site.key").write_bytes(site.private_key_pem.bytes())
    (folder / "Caddyfile").write_text(CADDYFILE.replace("FOLDER", str(folder)))


def copy_caddy(folder: Path) -> Path:
    """Take Caddy out of our image: it is the authority's program, too."""
    made = docker("create", "towonel-hub-caddy").strip()
    docker("cp", f"{made}:/usr/local/bin/caddy", str(folder / "caddy"))
    docker("rm", made)
    return folder / "caddy"


@contextlib.contextmanager
def internet(names: dict[str, str]) -> Generator[Internet]:
    """Run an internet whose names are at these addresses, and an authority that certifies whoever has a name.

    Its folder is not a test's own, whose name would be too long for an engine's sockets.
    """
    folder = Path(tempfile.mkdtemp(prefix="tw"))
    with contextlib.ExitStack() as exits:
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        authority = trustme.CA()
        write_files(folder, authority)
        (folder / "resolv.conf").write_text(f"nameserver {NETWORK}.1\n")
        found = Internet(folder, authority, exits)
        first = found.attach("anywhere")
        pairs = [
            f"{name}={address}" for name, address in (names | {AUTHORITY: first.address}).items()
        ]
        script = (sys.executable, str(SUPPORT / "guest_names.py"), first.address, *pairs)
        exits.callback(end, first.start(*script))
        caddy = (str(copy_caddy(folder)), "run", "--config", str(folder / "Caddyfile"))
        exits.callback(end, first.start(*caddy, "--adapter", "caddyfile"))
        until(
            lambda: first.run(f"curl --silent --show-error --fail https://{AUTHORITY}/directory"),
            PATIENCE_S,
        )
        yield found
