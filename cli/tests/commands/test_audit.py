"""`towonel audit`: what was written, and what is being written."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import override

import pytest
from support.commands import CommandedHub

from towonel.api.audit import AuditItem, AuditPage
from towonel.api.invites import InviteIn
from towonel.cli.commands import audit
from towonel.cli.commands.audit import MAX_RETRY_S, AuditFilter, follow
from towonel.client.audit import Audit
from towonel.client.hub import HubClient
from towonel.runtime.backoff import Backoff
from towonel.wire.errors import Code, Denied, Unavailable


def item(number: int, **more: object) -> AuditItem:
    said = {
        "id": number,
        "at": "2026-11-24T12:00:00Z",
        "actor": "operator",
        "tenant_id": None,
        "action": "invite.updated",
        "subject": "invite:x",
        "before": None,
        "after": None,
        "request_id": "r",
        "address": "192.0.2.1",
    }
    return AuditItem.model_validate(said | more)


def test_a_write_is_listed_with_who_what_and_from_where(hub: CommandedHub) -> None:
    made = hub.json_of("invite", "create", "--name", "audited", "--hostnames", "audited.example.eu")
    subject = f"invite:{made['invite_id']}"
    rows = hub.stdout_of("audit", "list", "--subject", subject, "--since", "1h").splitlines()

    assert rows[0].split() == ["AT", "ACTOR", "ACTION", "SUBJECT", "FROM", "WHAT"]
    assert rows[1].split()[2:6] == ["operator", "invite.created", subject, "127.0.0.1"]
    assert "name=audited" in rows[1]
    assert made["token"] not in "".join(rows)


def test_an_hour_from_now_nothing_was_written(hub: CommandedHub) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    assert hub.stdout_of("audit", "list", "--since", later) == "Nothing was written.\n"


@pytest.mark.parametrize("since", ["soon", "never", "", "99999999d", "2026-13-01"])
def test_a_time_that_is_none_is_a_usage_error(hub: CommandedHub, since: str) -> None:
    said = hub.run("audit", "list", "--since", since)

    assert said.exit_code == 2
    assert said.stderr.startswith("towonel: usage: --since: write ")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (None, {"name": "home", "hostnames": ["a.eu", "b.eu"]}, "name=home, hostnames=a.eu,b.eu"),
        ({"name": "old"}, {"name": "new"}, "name=old->new"),
        ({"name": "old"}, None, "name=old->none"),
        (
            {"limits": {"agents": None, "services": None}},
            {"limits": {"agents": None, "services": 3}},
            "limits.services=none->3",
        ),
        (None, {"name": "\x1b[2J"}, "name= [2J"),
    ],
)
def test_a_line_tells_what_changed_and_steers_no_terminal(
    before: object, after: object, text: str
) -> None:
    line = audit._format_line(item(1, before=before, after=after))

    assert (
        line == f"2026-11-24 12:00:00  operator  invite.updated  invite:x  from 192.0.2.1  {text}"
    )


async def test_tail_follows_what_is_written(hub: CommandedHub) -> None:
    environ = {**os.environ, **hub.environ, "XDG_CONFIG_HOME": "/nowhere"}
    command = (sys.executable, "-m", "towonel.cli", "audit", "tail", "-n", "1", "--json")
    async with asyncio.timeout(30), hub.client() as client:
        await client.invites.create(InviteIn(hostnames=["tail1.example.eu"]))
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout
        first = json.loads(await process.stdout.readline())
        await client.invites.create(InviteIn(hostnames=["tail2.example.eu"]))
        second = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()

    assert [one["after"]["hostnames"] for one in (first, second)] == [
        ["tail1.example.eu"],
        ["tail2.example.eu"],
    ]
    assert (process.returncode, errors) == (130, b"")


class ScriptedAudit(Audit):
    """Audit log whose streams end after one event each, one of them with a failure."""

    may_list = True
    retry_after_s: float | None = None
    followed: list[int | None]

    @override
    async def list(self, **wanted: object) -> AuditPage:
        if not self.may_list:
            raise Denied(Code.FORBIDDEN, "this needs the role operator")
        return AuditPage(audit=[item(2), item(1)], next_cursor=None)

    @override
    async def follow(self, *, last_event_id: int | None = None) -> AsyncGenerator[AuditItem]:
        self.followed.append(last_event_id)
        yield item((last_event_id or 9) + 1, action="invite.created")
        if len(self.followed) == 1:
            raise Unavailable(Code.HUB_UNAVAILABLE, "gone", retry_after_s=self.retry_after_s)


class ScriptedHub(HubClient):
    """Client of a hub with a scripted audit log."""

    def __init__(self, *, may_list: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__("http://127.0.0.1:9", operator_key="key")
        self.audit = self.log = ScriptedAudit(self._transport)
        self.log.may_list, self.log.retry_after_s, self.log.followed = may_list, retry_after_s, []


async def ids(
    hub: HubClient, count: int, *, lines: int = 10, action: str | None = None
) -> list[int]:
    found, wanted = list[int](), AuditFilter(action=action)
    async with aclosing(follow(hub, wanted, lines, Backoff(0.001, MAX_RETRY_S))) as displayed:
        async for part in displayed:
            found.append(int(str(part.document["id"])))
            if len(found) == count:
                break
    return found


async def test_tail_goes_on_after_the_last_it_saw_when_the_hub_comes_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with ScriptedHub() as hub:
        found = await ids(hub, 5, lines=2)

    assert found == [1, 2, 3, 4, 5]
    assert hub.log.followed == [2, 3, 4]
    assert capsys.readouterr().err == (
        "towonel: gone; asking again\ntowonel: the hub stopped; asking again\n"
    )


async def test_who_may_not_read_the_log_follows_it_all_the_same() -> None:
    async with ScriptedHub(may_list=False) as hub:
        assert await ids(hub, 2) == [10, 11]


async def test_tail_leaves_out_what_was_not_asked_for() -> None:
    async with ScriptedHub() as hub:
        found = await ids(hub, 1, lines=0, action="invite.created")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ids(hub, 1, lines=0, action="invite.updated")

    assert found == [10]


async def test_tail_asks_again_no_sooner_than_the_hub_wants() -> None:
    async with ScriptedHub(retry_after_s=20) as hub:
        assert await ids(hub, 1, lines=0) == [10]
        hub.log.followed.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ids(hub, 2, lines=0)

    assert hub.log.followed == [None]
