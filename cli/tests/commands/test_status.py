"""`towonel status`: for whom, how often, and while the hub is away."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, override

import httpx
import pytest
from support.commands import CommandedHub, towonel

from towonel.cli.commands.status import status, watch_status
from towonel.cli.options.choices import Format
from towonel.cli.output import Output, print_output
from towonel.cli.tables import format_bytes
from towonel.client.hub import HubClient
from towonel.wire.errors import Unavailable


def test_with_a_key_it_counts_what_there_is(hub: CommandedHub) -> None:
    before = hub.json_of("status")
    hub.json_of("invite", "create", "--hostnames", "counted.example.eu")
    after = hub.json_of("status")

    assert after["tenants_active"] == before["tenants_active"] + 1
    assert after["status"] == "ok"
    reported = hub.stdout_of("status")
    assert "agents live" in reported
    assert re.search(r"^agents displaced +0$", reported, re.MULTILINE)
    assert re.search(r"^agents by tcp +0$", reported, re.MULTILINE)
    assert "UDP" not in reported
    assert ("why failing" in reported) == (after["services_failing"] > 0)
    assert re.search(r"^sessions by stream +0$", reported, re.MULTILINE)
    assert re.search(r"^edges live +\d+ of \d+$", reported, re.MULTILINE)


def test_a_key_of_one_tenant_sees_what_it_may(hub: CommandedHub) -> None:
    tenant_id = hub.json_of("invite", "create", "--hostnames", "own.example.eu")["tenant_id"]
    create = ("key", "create", "--name", "x", "--role", "viewer", "--tenant-id", tenant_id)
    key = hub.json_of(*create)["key"]
    seen = hub.run("status", "--json", TOWONEL_OPERATOR_KEY=key)
    reported = hub.run("status", TOWONEL_OPERATOR_KEY=key).stdout

    found = json.loads(seen.stdout)
    assert (found["tenants_active"], found["edges"]) == (1, None)
    assert "This key does not show edges." in reported


class Flaky(httpx.AsyncBaseTransport):
    """A hub that is away, then there without anything."""

    def __init__(self) -> None:
        self.requested = 0

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requested += 1
        if self.requested == 1:
            raise httpx.ConnectError("refused")
        body = {"status": "ok", "node_id": "a" * 64, "version": "1", "protocol_version": 1}
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))


async def first(parts: AsyncGenerator[Output], count: int) -> list[dict[str, Any]]:
    return [(await anext(parts)).document for _ in range(count)]


async def test_watching_shows_a_hub_that_is_away_and_goes_on() -> None:
    async with HubClient("http://127.0.0.1:9", transport=Flaky()) as client:
        parts = status(client, watch=True, every=0.5)
        away, back = await first(parts, 2)
        await parts.aclose()

    assert away["status"] == "away"
    assert away["error"]["code"] == "hub_unavailable"
    assert back["status"] == "ok"


class Empty(httpx.AsyncBaseTransport):
    """A hub without anything, and what it was asked for."""

    def __init__(self) -> None:
        self.requested = Counter[str]()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.removeprefix("/v1/")
        self.requested[name] += 1
        health = {"status": "ok", "node_id": "a" * 64, "version": "1", "protocol_version": 1}
        body = health if name == "health" else {name: [], "next_cursor": None}
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))


async def test_watching_counts_what_seldom_changes_only_now_and_then() -> None:
    empty = Empty()
    async with HubClient("http://127.0.0.1:9", operator_key="key", transport=empty) as client:
        parts = watch_status(client, 0.001, recount_every=2)
        found = await first(parts, 3)
        await parts.aclose()

    assert found[0] == found[1] == found[2]
    assert (found[1]["tenants_active"], found[1]["agents_live"], found[1]["edges"]) == (0, 0, [])
    assert (found[1]["certificates_failing"], found[1]["certificates_expiring"]) == (0, 0)
    assert empty.requested.pop("certificates") == 9
    assert empty.requested == {"health": 3, "agents": 3, "edges": 3, "services": 2, "tenants": 6}


async def test_once_it_fails_where_the_hub_is_away() -> None:
    async with HubClient("http://127.0.0.1:9", transport=Flaky()) as client:
        with pytest.raises(Unavailable):
            await first(status(client), 1)


def test_a_screen_takes_the_place_of_the_one_before_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    displayed = Output({}, "now").as_screen()
    print_output(displayed, Format.TABLE)

    assert capsys.readouterr().out == "now\n"


async def watched(hub: CommandedHub, terminal: int) -> asyncio.subprocess.Process:
    environ = {**os.environ, **hub.environ, "TERM": "xterm", "XDG_CONFIG_HOME": "/nowhere"}
    command = (sys.executable, "-m", "towonel.cli", "status", "--watch", "--every", "0.5")
    return await asyncio.create_subprocess_exec(
        *command, env=environ, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE
    )


async def test_ctrl_c_ends_it_with_130_and_no_traceback(hub: CommandedHub) -> None:
    ours, theirs = pty.openpty()
    try:
        process = await watched(hub, theirs)
        seen = b""
        async with asyncio.timeout(20):
            while seen.count(b"is up") < 2:
                seen += await asyncio.to_thread(os.read, ours, 4096)
            process.send_signal(signal.SIGINT)
            _, errors = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)

    assert process.returncode == 130
    assert errors == b""
    assert b"\x1b[H" in seen  # the second takes the place of the first


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (15_000, "14.6 KiB"),
        (512_000, "500 KiB"), (5 << 30, "5.00 GiB"), (1 << 62, "4096 PiB"),
    ],
)  # fmt: skip
def test_amounts_of_data_are_told_with_three_digits(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_the_hubs_own_program_is_behind_towonel_hub(tmp_path: Path) -> None:
    environ = {**os.environ, "TOWONEL_DATA_DIR": str(tmp_path), "TOWONEL_HUB_URL": "https://x.eu"}
    command = (sys.executable, "-m", "towonel.cli", "hub")

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environ, capture_output=True, text=True, check=False
        )

    helped, wrong = ran("check", "--help"), ran("migrate", "--from", "/nowhere")
    assert helped.returncode == 0
    assert "Check what must hold in the database" in helped.stdout
    assert wrong.returncode == 2
    assert "/nowhere" in wrong.stderr


def test_a_machine_without_the_hub_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = towonel("hub", "check")

    assert said.exit_code == 1
    assert "the hub is not installed here" in said.stderr
