"""Watch of the settings: what a changed file does, what a mistake does not, and what SIGHUP asks for."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.stack import until

from towonel.agent.core.services import Service
from towonel.agent.settings import AgentSettings
from towonel.agent.settings_watch import SettingsWatch
from towonel.runtime.settings import load
from towonel.wire.tokens import InviteToken

TOKEN = InviteToken("http://127.0.0.1:1", bytes(16), bytes(32), bytes(32)).encode()


@dataclass
class Watched:
    """Settings with a file of services, what the watch has had served since, and what it logged."""

    file: Path
    environ: dict[str, str]
    served: list[list[str]] = field(default_factory=list[list[str]])
    lines: list[EventDict] = field(default_factory=list[EventDict])

    def write(self, *hostnames: str) -> None:
        """Write as editors and Kubernetes do: a new file in place of the old one."""
        entries = [{"hostname": name, "origin": "127.0.0.1:1"} for name in hostnames]
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(entries))
        new.replace(self.file)

    def read(self) -> AgentSettings:
        return load(AgentSettings, self.environ)

    def change(self, services: Sequence[Service]) -> None:
        self.served.append([service.key.name for service in services])

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
    watch = SettingsWatch(watched.read(), watched.change, watched.read, check_s=0.02)
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
    assert watched.served == []
    assert all("TOWONEL_AGENT_SERVICES" in line["problem"] for line in watched.lines)
    watched.write("b.eu")
    await until(lambda: watched.served)

    assert watched.served == [["b.eu"]]


@pytest.mark.usefixtures("watch")
async def test_an_empty_list_is_no_services(watched: Watched) -> None:
    watched.write()
    await until(lambda: watched.served)

    assert watched.served == [[]]


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


async def test_a_file_that_is_still_being_written_is_read_once_it_stays(watched: Watched) -> None:
    stamps = itertools.chain([1, 2, 3], itertools.repeat(4))
    watch = SettingsWatch(watched.read(), watched.change, watched.read, check_s=0.01)
    looks, watch._stamp = counted(lambda: ((next(stamps),),))  # type: ignore[method-assign]
    running = asyncio.create_task(watch.run())
    await until(lambda: watched.served)
    running.cancel()

    assert looks[:5] == [((stamp,),) for stamp in (1, 2, 3, 4, 4)]
    assert len(watched.served) == 1
