"""The demo when something is wrong: programs that end, ports in use, signals in the middle."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from support.ports import free_port, free_ports
from support.scripted_server import Server, serving

from towonel.cli.demo.page import HOST
from towonel.cli.demo.processes import Ports, StepFailed, run_processes
from towonel.cli.demo.run import AGENT, PUBLIC, STEPS, Demo, Narration, run
from towonel.cli.subprocesses import Program

# They wait for a line of standard input, of which there is none: they end at once, or never.
ENDS = Program("broken", "towonel.cli.demo", os.environ)
STAYS = Program("stays", "http.server", os.environ, ("--bind", HOST, str(free_port())))


def six_ports() -> Ports:
    base = free_ports(6)
    return Ports(*range(base, base + 6))


async def test_one_that_ends_while_another_is_waited_for_is_the_one_named(tmp_path: Path) -> None:
    async with run_processes(tmp_path) as processes:
        stays = await processes.start(STAYS)
        broken = await processes.start(ENDS)
        await broken.process.wait()
        with pytest.raises(StepFailed, match="broken ended with exit code 1") as caught:
            await processes.wait_ready(stays, free_port())

    assert caught.value.program == "broken"
    assert "towonel.cli.demo" in caught.value.last_lines[-1]


async def test_one_that_ends_while_all_should_stay_is_named_by_its_signal(tmp_path: Path) -> None:
    async with run_processes(tmp_path) as processes:
        stays = await processes.start(STAYS)
        stays.signal(signal.SIGKILL)
        with pytest.raises(StepFailed, match="stays was ended by SIGKILL"):
            await processes.wait_until_one_ends()


async def test_processes_are_stopped_at_the_end(tmp_path: Path) -> None:
    async with run_processes(tmp_path) as processes:
        stays = await processes.start(STAYS)

    assert stays.process.returncode == -signal.SIGTERM


async def test_one_that_answers_is_ready(tmp_path: Path, server: Server) -> None:
    server.reply(200)
    async with serving(server.serve) as port, run_processes(tmp_path) as processes:
        await processes.wait_ready(await processes.start(STAYS), port)

    assert server.requests[0].target == "/readyz"


async def test_ports_in_use_are_named_with_their_role_and_a_way_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ports = six_ports()
    with socket.create_server((HOST, ports.edge)), socket.create_server((HOST, ports.hub)):
        exit_code = await run(ports, Narration(as_json=False), stays=False)

    output = capsys.readouterr().out
    assert exit_code == 1
    assert f"port {ports.edge} (the edge, for clients and agents) is in use" in output
    assert f"port {ports.hub} (the hub's API) is in use" in output
    assert "--port-base" in output


@pytest.mark.parametrize("step", [PUBLIC, AGENT])
async def test_a_signal_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    narration = Narration(as_json=True)
    demo = Demo(six_ports(), narration, stays=False)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(demo.run())
        while narration.title != step:
            await asyncio.sleep(0.01)
        demo.on_signal(signal.SIGTERM)

    assert running.result() == 1
    assert list(tmp_path.iterdir()) == []
    assert demo._processes
    assert all(each.process.returncode is not None for each in demo._processes.running)


def test_sentences_fit_a_narrow_terminal_but_a_command_is_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narration = Narration(as_json=False)
    narration.opening()
    narration.step(AGENT)
    narration.facts(("name", "value"))
    narration.invitation("curl " + "x" * 100, "/folder", stays=True)
    error = StepFailed("it broke")
    error.program, error.last_lines = "agent", ["[bold]last words[/bold]"]
    narration.failed(AGENT, error)
    narration.closing()

    lines = capsys.readouterr().out.splitlines()
    assert "   curl " + "x" * 100 in lines
    assert "   name              value" in lines
    assert f"4. {AGENT}" in lines
    assert "   The last lines of agent's log:" in lines
    assert "   | [bold]last words[/bold]" in lines
    words = STEPS[AGENT].split()
    assert max(len(line) for line in lines if line.split()[:1] and line.split()[0] in words) < 40
    assert not any(line != line.rstrip() for line in lines)


def test_for_programs_each_step_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    narration = Narration(as_json=True)
    narration.opening()
    narration.step(AGENT)
    narration.facts(("a", "b"))
    narration.invitation("curl", "/folder", stays=False)
    narration.failed(AGENT, StepFailed("why"))
    narration.closing()

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"step": AGENT, "text": STEPS[AGENT]},
        {"facts": {"a": "b"}},
        {"ok": True, "curl": "curl", "folder": "/folder", "stays": False},
        {"ok": False, "step": AGENT, "reason": "why", "program": None, "log": []},
        {"stopped": True},
    ]
