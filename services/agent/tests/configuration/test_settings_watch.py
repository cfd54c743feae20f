"""Watch of the settings: what a changed file does, what a mistake does not, and what SIGHUP asks for."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.stack import until

from towonel.agent.configuration.reading import read_settings
from towonel.agent.configuration.settings_watch import ReadSettings, SettingsWatch
from towonel.agent.settings import AgentSettings
from towonel.runtime.admin import Health
from towonel.wire.tokens import InviteToken

type Change = Callable[[AgentSettings], None]
TOKEN = InviteToken("http://127.0.0.1:1", bytes(16), bytes(32), bytes(32)).encode()


@dataclass
class Watched:
    """Settings with a file of services, what the watch has had served since, and what it logged."""

    file: Path
    environ: dict[str, str]
    served: list[list[str]] = field(default_factory=list[list[str]])
    lines: list[EventDict] = field(default_factory=list[EventDict])
    health: Health = field(default_factory=Health)

    def write(self, *hostnames: str) -> None:
        """Write as editors and Kubernetes do: a new file in place of the old one."""
        entries = [{"hostname": name, "origin": "127.0.0.1:1"} for name in hostnames]
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(entries))
        new.replace(self.file)

    def read(self) -> AgentSettings:
        return read_settings({}, self.environ)

    @property
    def parts(self) -> tuple[AgentSettings, Change, ReadSettings, Health]:
        """What a watch is made of."""
        return self.read(), self.change, self.read, self.health

    def change(self, settings: AgentSettings) -> None:
        self.served.append([service.key.name for service in settings.all_services])

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    file = tmp_path / "services.json"
    environ = {"TOWONEL_INVITE_TOKEN": TOKEN, "TOWONEL_AGENT_SERVICES_FILE": str(file)}
    found = Watched(file, environ)
    found.write("a.eu")
    return found


@pytest.fixture
async def watch(watched: Watched) -> AsyncIterator[SettingsWatch]:
    watch = SettingsWatch(*watched.parts, check_s=0.02)
    with capture_logs() as watched.lines:
        running = asyncio.create_task(watch.run())
        yield watch
        running.cancel()


async def ask(watch: SettingsWatch, is_done: Callable[[], object]) -> None:
    watch.requested.set()
    await until(is_done)


@pytest.mark.usefixtures("watch")
async def test_services_of_a_file_that_was_replaced_are_served(watched: Watched) -> None:
    watched.write("a.eu", "b.eu")
    await until(lambda: watched.served)
    watched.write("b.eu")
    await until(lambda: len(watched.served) == 2)

    assert watched.served == [["a.eu", "b.eu"], ["b.eu"]]
    assert watched.events() == ["settings.read"] * 2


async def test_a_file_that_stays_is_not_read_again_unless_it_is_asked_for(
    watched: Watched, watch: SettingsWatch
) -> None:
    looks, watch._stamp = counted(watch._stamp)  # type: ignore[method-assign]
    os.utime(watched.file.parent)
    await until(lambda: len(looks) > 5)
    assert watched.served == []
    await ask(watch, lambda: watched.served)

    assert watched.served == [["a.eu"]]


def counted[R](call: Callable[[], R]) -> tuple[list[R], Callable[[], R]]:
    """What a function has returned so far, and the function to call in its place."""
    returned = list[R]()

    def call_counted() -> R:
        returned.append(call())
        return returned[-1]

    return returned, call_counted


@pytest.mark.parametrize("spoil", ["mistake", "absent", "empty"])
async def test_a_mistake_keeps_what_was_and_says_what_it_is(
    watched: Watched, watch: SettingsWatch, spoil: str
) -> None:
    if spoil == "mistake":
        watched.write("not a name")
    elif spoil == "empty":
        watched.file.write_text("")
    else:
        watched.file.unlink()
    await until(lambda: "settings.refused" in watched.events())
    await ask(watch, lambda: watched.events().count("settings.refused") == 2)
    reason = watched.health.reasons["settings"]
    assert (watched.served, watched.health.ready) == ([], True)
    assert all("TOWONEL_AGENT_SERVICES" in line["problem"] for line in watched.lines)
    assert watched.lines[-1]["problem"] in reason
    assert "what was read before is in force" in reason
    watched.write("b.eu")
    await until(lambda: watched.served)

    assert watched.served == [["b.eu"]]
    assert watched.health.degraded == {"settings": False}


@pytest.mark.usefixtures("watch")
async def test_an_empty_list_is_no_services(watched: Watched) -> None:
    watched.write()
    await until(lambda: watched.served)

    assert watched.served == [[]]


async def test_a_file_of_udp_services_is_followed_too(watched: Watched) -> None:
    file, item = watched.file.with_name("udp.json"), {"origin": "a:1", "listen_port": "auto"}
    file.write_text(json.dumps([{"name": "dns", **item}]))
    watched.environ["TOWONEL_AGENT_UDP_SERVICES_FILE"] = str(file)
    watch = SettingsWatch(*watched.parts, check_s=0.02)
    with capture_logs() as watched.lines:
        running = asyncio.create_task(watch.run())
        file.write_text(json.dumps([{"name": "game", **item}]))
        await until(lambda: watched.served)
        file.write_text("")
        await until(lambda: "settings.refused" in watched.events())
        running.cancel()

    assert watched.served == [["a.eu", "game"]]


async def test_what_is_read_at_the_start_only_is_named_once(
    watched: Watched, watch: SettingsWatch
) -> None:
    watched.environ |= {"TOWONEL_AGENT_GROUP": "v2", "TOWONEL_LOG_LEVEL": "debug"}
    await ask(watch, lambda: watched.served)
    await ask(watch, lambda: len(watched.served) == 2)

    named = [line["variables"] for line in watched.lines if "variables" in line]
    assert [sorted(each.split(", ")) for each in named] == [
        ["TOWONEL_AGENT_GROUP", "TOWONEL_LOG_LEVEL"]
    ]


async def test_a_value_that_was_put_back_needs_no_restart(
    watched: Watched, watch: SettingsWatch
) -> None:
    for group in ("v2", "default", "v2"):
        watched.environ["TOWONEL_AGENT_GROUP"] = group
        watched.served.clear()
        await ask(watch, lambda: watched.served)

    assert watched.events() == [
        *("settings.restart_needed", "settings.read"),
        "settings.read",
        *("settings.restart_needed", "settings.read"),
    ]


async def test_a_file_that_is_still_being_written_is_read_once_it_stays(watched: Watched) -> None:
    stamps = itertools.chain([1, 2, 3], itertools.repeat(4))
    watch = SettingsWatch(*watched.parts, check_s=0.01)
    looks, watch._stamp = counted(lambda: ((next(stamps),),))  # type: ignore[method-assign]
    running = asyncio.create_task(watch.run())
    await until(lambda: watched.served)
    running.cancel()

    assert looks[:5] == [((stamp,),) for stamp in (1, 2, 3, 4, 4)]
    assert len(watched.served) == 1


async def test_tcp_services_are_read_again_beside_the_others(
    watched: Watched, tmp_path: Path
) -> None:
    file, variable = tmp_path / "tcp.json", "TOWONEL_AGENT_TCP_SERVICES_FILE"
    ssh = {"name": "ssh", "origin": "127.0.0.1:22", "listen_port": 2222}
    file.write_text(json.dumps([ssh]))
    watched.environ[variable] = str(file)
    watch = SettingsWatch(*watched.parts, check_s=0.01)
    with capture_logs() as watched.lines:
        running = asyncio.create_task(watch.run())
        file.write_text(json.dumps([ssh, ssh | {"name": "git", "listen_port": "auto"}]))
        await until(lambda: watched.served)
        file.write_text("")
        await until(lambda: "settings.refused" in watched.events())
        file.write_text("[]")
        await until(lambda: len(watched.served) == 2)
        running.cancel()

    assert watched.served == [["a.eu", "ssh", "git"], ["a.eu"]]
    (problem,) = (line["problem"] for line in watched.lines if "problem" in line)
    assert problem.startswith("TOWONEL_AGENT_TCP_SERVICES: is not set any more")
    assert "settings.restart_needed" not in watched.events()


async def test_a_file_of_settings_is_read_again_and_a_mistake_in_it_keeps_what_was(
    watched: Watched, tmp_path: Path
) -> None:
    file, git = (
        tmp_path / "agent.yaml",
        "tcp_services: [{name: git, origin: 'x:1', listen_port: auto}]",
    )
    file.write_text(git.replace("git", "ssh"))
    watched.environ["TOWONEL_AGENT_CONFIG"] = str(file)
    watch = SettingsWatch(*watched.parts, check_s=0.01)
    problems: list[str] = []
    with capture_logs() as watched.lines:
        running = asyncio.create_task(watch.run())
        file.write_text(f"{git}\nworkers: 2")
        await until(lambda: watched.served)
        for mistake in ("tcp_services: [{name: git}]", "group: [", "lane: off", "workers: 2"):
            problems += await refused(watched, file, mistake)
        running.cancel()

    assert watched.served == [["a.eu", "git"]]
    assert [line.get("variables") for line in watched.lines][:1] == ["TOWONEL_AGENT_WORKERS"]
    assert [problem.partition(": ")[0] for problem in problems] == [
        *(str(file), str(file), "TOWONEL_AGENT_CONFIG", str(file)),
        "TOWONEL_AGENT_TCP_SERVICES",
    ]


async def refused(watched: Watched, file: Path, text: str) -> list[str]:
    """Write a text with a mistake, and return the lines about it."""
    seen = len(watched.lines)
    file.write_text(text)
    await until(lambda: len(watched.lines) > seen)
    return [line["problem"] for line in watched.lines[seen:]]
