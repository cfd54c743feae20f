"""Health check of a program from beside it, against the server that programs have, and what is none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.ports import free_port

from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.environment.health_check import check_health, find_unreadiness

DEFAULT = ("127.0.0.1", 9)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def port(health: Health) -> AsyncIterator[int]:
    about = {"name": "example"}
    async with admin.serve("127.0.0.1", 0, health, CollectorRegistry(), about=about) as port:
        yield port


async def find(port: int, host: str = "127.0.0.1", timeout_s: float = 3.0) -> str | None:
    return await asyncio.to_thread(find_unreadiness, (host, port), timeout_s)


async def test_a_program_that_is_ready_or_works_worse_is_well(health: Health, port: int) -> None:
    assert await find(port) is None

    health.set_degraded("redis", reason="does not answer")

    assert await find(port, host="0.0.0.0") is None  # noqa: S104 asked, not bound


async def test_one_that_is_not_ready_says_why(health: Health, port: int) -> None:
    health.set("routes", ok=False, reason="none yet")
    health.set("hub", ok=False)

    assert await find(port) == "not ready: routes: none yet; hub: not yet"


async def test_where_nothing_listens_the_address_is_named() -> None:
    port = free_port()

    reason = await find(port)

    assert reason is not None
    assert reason.startswith(f"nothing answers at 127.0.0.1:{port}: ")
    assert "refused" in reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "is another program"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n[]", "is another program"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "nothing answers at"),
        (b"", "nothing answers at"),
    ],
    ids=["another server", "another body", "another protocol", "silence"],
)
async def test_what_is_no_program_of_ours_is_told_apart(answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        found = await find(server.sockets[0].getsockname()[1], timeout_s=0.2)

    assert found is not None
    assert reason in found


async def test_the_exit_code_tells_programs(
    health: Health, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> int:
        return check_health("LISTEN", DEFAULT)

    monkeypatch.setenv("LISTEN", f"127.0.0.1:{port}")
    well = await asyncio.to_thread(check)
    health.start_draining()
    ill = await asyncio.to_thread(check)
    monkeypatch.setenv("LISTEN", "here")

    assert (well, ill, check()) == (0, 1, 78)
    told = capsys.readouterr()
    assert told.out == "ready\n"
    assert told.err.splitlines() == [
        "not ready: stopping: draining",
        "LISTEN: must be host:port, as in 127.0.0.1:9",
    ]


async def test_the_address_is_the_one_given_or_in_a_file_or_the_default(
    port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = check_health("LISTEN", ("127.0.0.1", free_port()))
    by_default = await asyncio.to_thread(check_health, "LISTEN", ("127.0.0.1", port))
    (tmp_path / "address").write_text(f"127.0.0.1:{port}\n")
    monkeypatch.setenv("LISTEN_FILE", str(tmp_path / "address"))
    in_file = await asyncio.to_thread(check_health, "LISTEN", DEFAULT)
    monkeypatch.setenv("LISTEN", "here")
    given = await asyncio.to_thread(check_health, "LISTEN", DEFAULT, ("127.0.0.1", port))

    assert (nowhere, by_default, in_file, given) == (1, 0, 0, 0)
    assert check_health("LISTEN", DEFAULT) == 78
    assert capsys.readouterr().err.splitlines()[-1] == "LISTEN: set it or LISTEN_FILE, not both"
