"""The demo when something is wrong: programs that end, ports in use, signals in the middle."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
from pathlib import Path

import pytest
from support.ports import free_port, free_ports
from support.scripted_server import Server, serving

from towonel.cli.demo.page import HOST, TITLE, write_certificate
from towonel.cli.demo.processes import Port, StepFailed, run_program
from towonel.cli.demo.run import AGENT, PUBLIC, STEPS, Demo, make_demo, run
from towonel.cli.options.choices import Format
from towonel.cli.subprocesses import Program

# It ends at a signal: its own, or that of the test.
PUPPET = """
import os, signal, sys
print(os.getpid(), "here", flush=True)
if sys.argv[1:]:
    os.kill(os.getpid(), signal.SIGKILL)
signal.pause()
"""
ENDS = Program("broken", "towonel.cli.demo", os.environ)


def six_ports() -> dict[Port, int]:
    base = free_ports(6)
    return dict(zip(Port, range(base, base + 6), strict=True))


def puppet(folder: Path, *arguments: str, **environ: str) -> Program:
    """A program that stays; with arguments, one that kills itself."""
    (folder / "puppet.py").write_text(PUPPET)
    return Program("puppet", "puppet", {"PYTHONPATH": str(folder)} | environ, arguments)


def processes_of(text: object) -> list[int]:
    """Processes with a text in their environment."""
    found = list[int]()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if str(text).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


async def test_one_that_ends_while_another_is_waited_for_is_the_one_named(tmp_path: Path) -> None:
    never_ready = puppet(tmp_path, TOWONEL_AGENT_HEALTH_LISTEN_ADDR=f"{HOST}:{free_port()}")

    with pytest.raises(StepFailed, match="broken ended with exit code 1") as caught:
        async with run_program(ENDS, tmp_path), run_program(never_ready, tmp_path):
            pass

    assert caught.value.program == "broken"
    assert "towonel.cli.demo" in caught.value.last_lines[-1]


async def test_one_that_ends_while_all_should_stay_is_named_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="puppet was ended by SIGKILL"):
        async with run_program(puppet(tmp_path, "kill"), tmp_path):
            await asyncio.Event().wait()


async def test_one_that_is_never_ready_is_named(tmp_path: Path) -> None:
    never_ready = puppet(tmp_path, TOWONEL_AGENT_HEALTH_LISTEN_ADDR=f"{HOST}:{free_port()}")

    with pytest.raises(StepFailed, match="puppet is not ready after 0 s"):
        async with run_program(never_ready, tmp_path, patience_s=0.1):
            pass


async def test_programs_are_stopped_at_the_end(tmp_path: Path) -> None:
    async with asyncio.timeout(10), run_program(puppet(tmp_path), tmp_path) as log:
        while "here" not in log.read_text():
            await asyncio.sleep(0.01)

    assert not Path("/proc", log.read_text().split()[0]).exists()


async def test_one_that_answers_is_ready(tmp_path: Path, server: Server) -> None:
    server.reply(200)
    async with serving(server.serve) as port:
        foreign = {"OTHER_HEALTH_LISTEN_ADDR": f"{HOST}:{free_port()}"}
        ready = puppet(tmp_path, TOWONEL_AGENT_HEALTH_LISTEN_ADDR=f"{HOST}:{port}", **foreign)
        async with run_program(ready, tmp_path, patience_s=10):
            pass

    assert server.requests[0].target == "/readyz"


@pytest.mark.parametrize(("body", "is_own"), [("no heading", True), (TITLE, False)])
async def test_a_client_that_gets_another_page_or_certificate_says_so(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], body: str, *, is_own: bool
) -> None:
    certificate, digest = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server.reply(200, body)
    log = tmp_path / "agent.log"
    log.write_text("last words")

    async with serving(server.serve, context) as port:
        demo = Demo({Port.EDGE: port}, Format.TABLE, stays=False)
        with pytest.raises(StepFailed, match="another page or certificate") as caught:
            await demo.fetch_page(certificate, digest if is_own else "AA:BB", log)

    assert (caught.value.program, caught.value.last_lines) == ("agent", ["last words"])
    assert "equal" not in capsys.readouterr().out


async def test_ports_in_use_are_named_with_their_role_and_a_way_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ports = six_ports()
    edge, hub = ports[Port.EDGE], ports[Port.HUB]
    with socket.create_server((HOST, edge)), socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind((HOST, hub))
        exit_code = await run(Demo(ports, Format.TABLE, stays=False))

    output = capsys.readouterr().out
    assert exit_code == 1
    assert f"port {edge} (the edge, for clients and agents) is in use" in output
    assert f"port {hub} (the hub's API) is in use" in output
    assert "--port-base 20000" in output
    assert "make demo PORT_BASE=20000" in output


@pytest.mark.parametrize("step", [PUBLIC, pytest.param(AGENT, marks=pytest.mark.soak)])
async def test_a_signal_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    demo = Demo(six_ports(), Format.JSON, stays=False)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(demo.run())
        while demo.title != step or not list(tmp_path.glob("*/*.log")):
            await asyncio.sleep(0.01)
        running.cancel()

    assert demo.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.soak
async def test_a_program_that_dies_while_the_demo_stays_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    demo = Demo(six_ports(), Format.JSON, stays=True)
    told = ""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(demo.run())
        while '"curl"' not in told:
            await asyncio.sleep(0.05)
            told += capsys.readouterr().out
        [agent] = processes_of(
            f"TOWONEL_AGENT_HEALTH_LISTEN_ADDR={HOST}:{demo.ports[Port.AGENT_HEALTH]}"
        )
        os.kill(agent, signal.SIGKILL)

    failure = json.loads(capsys.readouterr().out)
    assert demo.exit_code == 1
    assert (failure["ok"], failure["program"]) == (False, "agent")
    assert failure["reason"] == "agent was ended by SIGKILL"
    assert failure["log"]


async def test_once_ends_by_itself_and_has_worked(tmp_path: Path) -> None:
    demo = make_demo(20_000, Format.JSON, once=True)
    async with asyncio.timeout(10):
        await demo.finish(tmp_path / "origin.pem")

    assert demo.exit_code == 0
    assert [*demo.ports.values()] == [*range(20_000, 20_006)]


def test_sentences_fit_a_narrow_terminal_but_a_command_is_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    demo = Demo(six_ports(), Format.TABLE, stays=True)
    demo.show_step(AGENT)
    demo.show_facts(("name", "value"))
    demo.show_curl(tmp_path / ("x" * 100))
    error = StepFailed("it broke")
    error.program, error.last_lines = "agent", ["[bold]last words[/bold]"]
    demo.report(error)

    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("curl ") and "x" * 100 in line for line in lines)
    assert "name       value" in lines
    assert f"4. {AGENT}" in lines
    assert "The last lines of agent's log:" in lines
    assert "| [bold]last words[/bold]" in lines
    words = STEPS[AGENT].split()
    assert max(len(line) for line in lines if line.split()[:1] and line.split()[0] in words) < 40
    assert not any(line != line.rstrip() for line in lines)


def test_for_programs_each_step_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    demo = Demo(six_ports(), Format.JSON, stays=False)
    demo.say({}, "only for people")
    demo.show_step(AGENT)
    demo.show_facts(("a", "b"))
    demo.show_curl(Path("/folder/pem"))
    demo.report(StepFailed("why"))

    step, facts, done, failed = map(json.loads, capsys.readouterr().out.splitlines())
    assert step == {"step": AGENT, "text": STEPS[AGENT]}
    assert facts == {"facts": {"a": "b"}}
    assert done.pop("curl").startswith("curl --resolve app.demo.example:")
    assert done == {"ok": True, "folder": "/folder", "stays": False}
    assert failed == {"ok": False, "step": AGENT, "reason": "why", "program": None, "log": []}
