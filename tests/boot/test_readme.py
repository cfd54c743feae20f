"""Commands of README that need a clone and no containers, run by a shell as they stand."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.documents import ROOT, story
from support.ports import free_port, free_ports

pytestmark = pytest.mark.processes
PROGRAMS = str(Path(sys.executable).parent)


def fill_in(text: str, places: dict[str, str]) -> str:
    """Return commands with what is here in the place of what the README names."""
    for name, here in places.items():
        text = text.replace(name, here)
    return text


def make_places(folder: Path) -> dict[str, str]:
    """Return all that the README names and a test cannot have: others of each, longest first.

    No authority is there: what the edge serves as https://hub.example.eu is the hub's own address.
    """
    hub = f"127.0.0.1:{free_port()}"
    ports = [f"127.0.0.1:{port}" for port in ("9091", "9090", "9092")]
    return {
        "https://hub.example.eu": f"http://{hub}",
        "127.0.0.1:8443": hub,
        **{port: f"127.0.0.1:{free_port()}" for port in ports},
        "/var/lib/towonel": str(folder / "data"),
    }


def environ(**more: str) -> dict[str, str]:
    """Return the environment of a shell that has the programs, and no settings but these."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TOWONEL_")}
    return clean | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"} | more


@contextmanager
def running(script: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Run commands, the last of which goes on, in a group that ends with the context."""
    with subprocess.Popen(
        ("bash", "-euc", script),
        env=environ(TOWONEL_LOG_FORMAT="json", **more),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate()


def wait_for(process: subprocess.Popen[str], *events: str) -> None:
    """Read the log until all these events were in it."""
    assert process.stderr
    missing, lines = {*events}, list[str]()
    for line in process.stderr:
        lines.append(line)
        missing -= {json.loads(line)["event"]}
        if not missing:
            return
    raise AssertionError("".join(lines))


def exports(commands: str) -> str:
    """Return the lines that set variables, which the machine's next shell has, too."""
    return "".join(re.findall(r"^export .*\n", commands, re.MULTILINE))


def test_hub_edge_and_agent_run_without_containers_on_one_machine(tmp_path: Path) -> None:
    blocks = story("source")
    places = make_places(tmp_path)
    assert [name for name in places if not any(name in block.text for block in blocks)] == []
    serve, invite, agent = (fill_in(block.text, places) for block in blocks)
    edge = f"127.0.0.1:{free_port()}"  # 443 is not a test's to take
    with ExitStack() as programs:
        public = programs.enter_context(running(serve, TOWONEL_EDGE_LISTEN_ADDR=edge))
        wait_for(public, "hub.started", "edge.started")
        shell = ("bash", "-euc", exports(serve) + invite)
        said = subprocess.run(shell, env=environ(), check=True, capture_output=True, text=True)
        token = re.findall(r"tt_inv_2_\S+", said.stdout)[0]
        linked = programs.enter_context(running(agent.replace("tt_inv_2_…", token)))
        wait_for(linked, "link.opened")


def test_the_demo_runs_by_the_command_of_the_readme() -> None:
    [demo] = story("tree")
    once = environ(ONCE="1", PORT_BASE=str(free_ports(6)))  # else it goes on, on ports of its own
    said = subprocess.run(
        ("bash", "-euc", demo.text), cwd=ROOT, env=once, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stdout + said.stderr
    assert "SHA-256" in said.stdout
