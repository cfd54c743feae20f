"""The parts of the demo that have to tell the truth when something is wrong."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.ports import free_port
from support.scripted_server import Server, serving

from towonel.cli.demo import plan
from towonel.cli.demo.certificate import der_of, fingerprint, self_signed
from towonel.cli.demo.fetch import VisitFailed, visit
from towonel.cli.demo.narration import Recorded, Told
from towonel.cli.demo.processes import Household, StepFailed, household
from towonel.cli.subprocesses import Program

ORIGIN = "towonel.cli.demo.origin"
NOW = datetime.now(UTC)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    certificate, key = self_signed(plan.HOSTNAME, NOW)
    (tmp_path / "origin.pem").write_bytes(certificate)
    (tmp_path / "origin.key").write_bytes(key)
    return tmp_path / "origin.pem"


@contextlib.asynccontextmanager
async def impostor(certificate: Path, server: Server) -> AsyncGenerator[int]:
    """Something else behind the certificate, or behind another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("origin.key"))
    async with serving(server.serve, context) as port:
        yield port


@contextlib.asynccontextmanager
async def origin(folder: Path) -> AsyncGenerator[tuple[Household, int]]:
    port = free_port()
    arguments = (str(port), str(folder / "origin.pem"), str(folder / "origin.key"))
    async with household(folder) as home:
        member = await home.start(Program("origin", ORIGIN, os.environ, arguments))
        await home.listening(member, port)
        yield home, port


def test_the_fingerprint_is_the_one_openssl_prints(certificate: Path) -> None:
    command = ("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(certificate))
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert printed.strip().endswith(f"={fingerprint(der_of(certificate.read_bytes()))}")


async def test_a_visitor_sees_the_page_and_the_services_own_certificate(certificate: Path) -> None:
    async with origin(certificate.parent) as (_, port):
        seen = await visit(port, certificate)

    assert seen.heading == plan.PAGE_TITLE
    assert seen.certificate == der_of(certificate.read_bytes())
    assert seen.protocol == "TLSv1.3"


async def test_a_visitor_refuses_another_certificate(
    certificate: Path, tmp_path: Path, server: Server
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(self_signed(plan.HOSTNAME, NOW)[0])

    async with impostor(certificate, server) as port:
        with pytest.raises(VisitFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await visit(port, other, patience_s=0.3)

    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "body", "rule"),
    [
        (502, "<h1>x</h1>", "502"),
        (200, "no heading", "not the page"),
        (200, "x" * 70_000, "exceeds"),
    ],
)
async def test_a_visitor_tells_what_was_there_instead_of_the_page(
    certificate: Path, server: Server, status: int, body: str, rule: str
) -> None:
    server.reply(status, body)

    async with impostor(certificate, server) as port:
        with pytest.raises(VisitFailed, match=rule):
            await visit(port, certificate, patience_s=0.5)


async def test_a_visitor_waits_for_a_page_that_comes_late(
    certificate: Path, server: Server
) -> None:
    server.reply(503)

    async with impostor(certificate, server) as port, asyncio.TaskGroup() as tasks:
        visiting = tasks.create_task(visit(port, certificate))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        server.reply(200, f"<h1>{plan.PAGE_TITLE}</h1>")

    assert visiting.result().heading == plan.PAGE_TITLE


async def test_a_program_that_ends_while_another_is_waited_for_is_the_one_named(
    certificate: Path,
) -> None:
    async with origin(certificate.parent) as (home, _):
        broken = await home.start(Program("broken", ORIGIN, os.environ, ("x", "y", "z")))
        await broken.process.wait()
        with pytest.raises(StepFailed) as caught:
            await home.ready(home.members[0], "http://127.0.0.1:1/readyz")

    assert caught.value.program == "broken"
    assert "exit code 1" in caught.value.reason
    assert "Error" in caught.value.last_lines[-1]


async def test_one_that_ends_while_all_should_stay_is_named_by_its_signal(
    certificate: Path,
) -> None:
    async with origin(certificate.parent) as (home, _):
        home.members[0].signal(signal.SIGKILL)
        with pytest.raises(StepFailed, match="origin was ended by SIGKILL"):
            await home.stay()


async def test_a_household_leaves_nobody_behind(certificate: Path) -> None:
    async with origin(certificate.parent) as (home, _):
        [member] = home.members

    assert member.process.returncode == -signal.SIGTERM


def test_the_story_for_people_fits_a_narrow_terminal_but_never_cuts_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    story = Told()
    story.opening()
    story.step("A title", "word " * 30)
    story.invitation("curl " + "x" * 100, "/folder", stays=True)
    story.failed("A title", "it broke", "agent", ["[bold]last words[/bold]"])

    lines = capsys.readouterr().out.splitlines()
    assert "   curl " + "x" * 100 in lines
    assert "   | [bold]last words[/bold]" in lines
    assert max(len(line) for line in lines if "word " in line) < 40
    assert not any(line != line.rstrip() for line in lines)


def test_the_story_for_programs_is_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    story = Recorded()
    story.opening()
    story.step("t", "x")
    story.facts([("a", "b")])
    story.invitation("curl", "/folder", stays=False)
    story.failed("t", "why", None, [])
    story.closing()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("ok") for line in lines] == [None, None, True, False, None]
