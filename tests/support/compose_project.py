"""Project of Docker Compose: files of deploy/compose, with what a test changes of them."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support.polling import pauses

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/compose"
STAND_INS = ROOT / "tests/e2e/containers/stand_ins"
# The first of them that has the plugin: another one may come before it on PATH.
DOCKER = next(
    (
        path
        for path in ("/usr/bin/docker", shutil.which("docker"))
        if path and Path(path).exists()
        if subprocess.run((path, "compose", "version"), capture_output=True, check=False).returncode
        == 0
    ),
    None,
)
OURS = ("towonel", "towonel-hub", "towonel-edge", "towonel-agent", "towonel-hub-caddy")
WAIT_S = 90.0
OF_CLIENT = {"PATH", "HOME", "DOCKER_HOST"}  # what the client reads of the environment


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Run the client, and return what it says."""
    assert DOCKER is not None
    said = subprocess.run(
        (DOCKER, *arguments), input=stdin, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, f"docker {' '.join(arguments)}: {said.stderr}"
    return said.stdout


def has_image(name: str) -> bool:
    """Return whether the engine has an image."""
    assert DOCKER is not None
    found = subprocess.run((DOCKER, "image", "inspect", name), capture_output=True, check=False)
    return found.returncode == 0


def find_missing() -> str | None:
    """Return what there is not and must be, to start containers of our images."""
    if DOCKER is None:
        return "Docker with the plugin of Compose"
    if subprocess.run((DOCKER, "info"), capture_output=True, check=False).returncode != 0:
        return "a Docker engine that runs"
    missing = [name for name in OURS if not has_image(name)]
    return f"images, which deploy/images makes: {', '.join(missing)}" if missing else None


def stand_in(image: str, name: str) -> None:
    """Make a stand-in for an official image that the engine has not got."""
    if not has_image(image):
        os.environ["DOCKER_BUILDKIT"] = "1"
        file = STAND_INS / f"{name}.Dockerfile"
        docker("build", "--network", "host", "-f", str(file), "-t", image, str(STAND_INS))


@dataclass
class Project:
    """Files that run together, and the variables of their environment."""

    name: str
    files: tuple[str, ...]
    folder: Path
    variables: dict[str, str] = field(default_factory=dict[str, str])
    overlay: str = ""

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run `docker compose` with these files and the test's own."""
        assert DOCKER is not None
        said = self.ask(*arguments, stdin=stdin)
        assert said.returncode == 0, f"compose {' '.join(arguments)}: {said.stderr}{said.stdout}"
        return said.stdout

    def ask(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `docker compose`, which may fail."""
        own = self.folder / f"{self.name}.yaml"
        own.write_text(self.overlay)
        files = [*(str(FOLDER / file) for file in self.files), *([str(own)] * bool(self.overlay))]
        flags = [part for file in files for part in ("-f", file)]
        return subprocess.run(
            [str(DOCKER), "compose", "-p", self.name, *flags, *arguments],
            env={name: os.environ[name] for name in OF_CLIENT & os.environ.keys()} | self.variables,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self, *services: str, profile: str = "") -> None:
        """Start services, all without a profile by default, and wait until they are healthy."""
        profiles = ("--profile", profile) if profile else ()
        said = self.ask(*profiles, "up", "-d", "--wait", "--wait-timeout", "150", *services)
        assert said.returncode == 0, said.stderr + self.ask("logs", "--tail", "30").stdout

    def down(self, *, volumes: bool = False) -> None:
        self.run("--profile", "*", "down", "-t", "20", *(("-v",) if volumes else ()))

    def address(self, service: str, network: str = "default") -> str:
        """Return the address of a service's container in a network of the project."""
        [container] = self.run("--profile", "*", "ps", "-q", service).split()
        form = f'{{{{(index .NetworkSettings.Networks "{self.name}_{network}").IPAddress}}}}'
        return docker("inspect", "-f", form, container).strip()

    def gateway(self) -> str:
        """Return the address of this machine in the project's own network."""
        form = "{{(index .IPAM.Config 0).Gateway}}"
        return docker("network", "inspect", "-f", form, f"{self.name}_default").strip()


def fetch(address: tuple[str, int], hostname: str, authority: str) -> tuple[str, str]:
    """Return a page over TLS, and the address that the client had."""
    context = ssl.create_default_context(cadata=authority)
    with socket.create_connection(address, 10) as plain:
        own = plain.getsockname()[0]
        with context.wrap_socket(plain, server_hostname=hostname) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {hostname}\r\nConnection: close\r\n\r\n".encode())
            parts = iter(lambda: tls.recv(65536), b"")
            return b"".join(parts).decode(), own


def until[T](ask: Callable[[], T], wait_s: float = WAIT_S) -> T:
    """Return what a question gives once it raises no error and is not false."""
    end = time.monotonic() + wait_s
    for pause_s in pauses():
        try:
            if found := ask():
                return found
        except (OSError, AssertionError):
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, "it did not come about"
        time.sleep(pause_s)
    raise AssertionError
