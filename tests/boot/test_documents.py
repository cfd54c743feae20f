"""Files and examples that people start with: they start."""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from support.boot import problems_of, variable_of
from support.ports import free_port
from support.programs import Name, ProcessRunner, own_processes
from support.stack import Node, ready

from towonel.agent.settings import AgentSettings
from towonel.cli.settings import CommandSettings, ServeSettings
from towonel.edge.settings import EdgeSettings
from towonel.hub.settings import HubSettings
from towonel.runtime.settings import Settings, load, variables

ROOT = Path(__file__).parents[2]
LISTENERS: dict[type[Settings], str] = {
    HubSettings: "TOWONEL_HUB_",
    EdgeSettings: "TOWONEL_EDGE_",
    AgentSettings: "TOWONEL_AGENT_",
}


def example(name: str = ".env.example") -> dict[str, str]:
    """Return the variables of a file of examples as `docker run --env-file` reads them, each set."""
    text = re.sub(r"^#", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Ports:
    """Free ports in the place of those that documents have, for each the same everywhere."""

    def __init__(self) -> None:
        self._free: dict[str, int] = {}

    def move(self, address: str) -> str:
        host, _, port = address.rpartition(":")
        return f"{host}:{self._free.setdefault(port, free_port())}"

    def listeners(self, cls: type[Settings], environ: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses that a program listens on, moved."""
        settings = load(cls, environ)
        values = {
            settings.variable_of(field): getattr(settings, field) for field in cls.model_fields
        }
        return {
            name: self.move(f"{value[0]}:{value[1]}")
            for name, value in values.items()
            if name.startswith(LISTENERS[cls]) and name.endswith("LISTEN_ADDR") and value
        }


def test_the_example_sets_every_variable_to_what_it_is_without_it() -> None:
    assert len(example()) > 50
    for cls in (HubSettings, EdgeSettings, CommandSettings, ServeSettings):
        assert problems_of(cls, example()) == [], cls
    assert [variable_of(line) for line in problems_of(AgentSettings, example())] == [
        "TOWONEL_INVITE_TOKEN"
    ]
    assert load(HubSettings, example()) == load(HubSettings, {})


def test_the_example_of_an_agent_sets_all_that_an_agent_reads_to_its_default() -> None:
    found = example("examples/agent.env.example")

    assert found.keys() == {variable.name for variable in variables(AgentSettings)}
    assert [variable_of(line) for line in problems_of(AgentSettings, found)] == [
        "TOWONEL_INVITE_TOKEN"
    ]


def test_the_example_of_a_node_sets_all_that_its_programs_read_to_its_default() -> None:
    found, programs = (
        example("examples/node.env.example"),
        (HubSettings, EdgeSettings, ServeSettings),
    )

    assert found.keys() == {variable.name for cls in programs for variable in variables(cls)}
    assert [problems_of(cls, found) for cls in programs] == [[], [], []]
    assert load(HubSettings, found) == load(HubSettings, {})


async def start(runner: ProcessRunner, name: Name, environ: dict[str, str]) -> None:
    """Start a program, and return once it is ready."""
    address = environ[f"TOWONEL_{name.upper()}_HEALTH_LISTEN_ADDR"]
    program = await runner.start(name, environ)
    await ready(Node(program, 0, int(address.rpartition(":")[2]), environ))


@contextlib.asynccontextmanager
async def hub_and_edge(
    folder: Path, environ: Mapping[str, str], ports: Ports
) -> AsyncIterator[ProcessRunner]:
    """Run both with these variables, only their ports and their folder others."""
    moved = dict(environ) | {"TOWONEL_DATA_DIR": str(folder)}
    moved |= ports.listeners(HubSettings, moved) | ports.listeners(EdgeSettings, moved)
    async with own_processes(folder) as runner:
        await start(runner, "hub", moved)
        await start(runner, "edge", moved)
        yield runner


@pytest.mark.processes
async def test_the_example_starts_a_hub_and_an_edge(tmp_path: Path) -> None:
    async with hub_and_edge(tmp_path, example(), Ports()) as runner:
        logs = [program.log() for program in runner.programs]

    assert "public_url.defaulted" in logs[0]
    assert "addresses.guessed" in logs[1]
    assert "Traceback" not in "".join(logs)
