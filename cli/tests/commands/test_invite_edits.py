"""Live invites on the command line: shown, found and edited, against a real hub."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, override

import pytest
from support.commands import CommandedHub

from towonel.api.invites import InviteDetail, InviteEdit
from towonel.api.limits import Limits
from towonel.cli.commands.invite import edit
from towonel.cli.output import now
from towonel.client.hub import HubClient
from towonel.client.invites import Invites
from towonel.client.transport import Tagged
from towonel.wire.errors import Code, Denied

HOSTS = ["edit.example.eu", "*.edit.example.eu"]


@pytest.fixture
def invite(hub: CommandedHub) -> Iterator[str]:
    made = hub.json_of("invite", "create", "--name", "editable", "--hostnames", ",".join(HOSTS))
    yield made["invite_id"]
    hub.run("invite", "revoke", "--id", made["invite_id"])


def edited(hub: CommandedHub, invite_id: str, line: str) -> dict[str, Any]:
    return hub.json_of("invite", "edit", "--id", invite_id, *line.split())


def test_an_invite_is_shown_whole(hub: CommandedHub, invite: str) -> None:
    lines = hub.stdout_of("invite", "show", "--id", invite).splitlines()

    displayed = {line[:11].strip(): line[11:] for line in lines}
    assert displayed["invite"] == invite
    assert len(displayed["tenant"]) == 64
    assert (displayed["name"], displayed["status"]) == ("editable", "pending")
    assert displayed["hostnames"] == ", ".join(HOSTS)
    assert (displayed["ports"], displayed["limits"]) == ("none", "the hub's")
    assert {displayed[name] for name in ("expires", "ends", "suspended")} == {"never"}


def test_only_what_is_given_changes(hub: CommandedHub, invite: str) -> None:
    before = hub.json_of("invite", "show", "--id", invite)
    after = edited(hub, invite, "--name renamed --max-services 20 --max-agents 3")

    assert after == before | {
        "name": "renamed",
        "limits": {**dict.fromkeys(Limits.model_fields), "services": 20, "agents": 3},
    }
    assert edited(hub, invite, "--max-agents default")["limits"]["services"] == 20


def test_limits_of_clients_are_set_and_taken_away(hub: CommandedHub, invite: str) -> None:
    flags = "--max-connections 500 --max-connection-rate 50 --max-bandwidth 100M"
    limits = edited(hub, invite, flags)["limits"]
    displayed = hub.stdout_of("invite", "show", "--id", invite)

    assert (limits["connections"], limits["connection_rate"]) == (500, 50)
    assert limits["bandwidth"] == 100_000_000
    assert "500 connections, 50 new connections a second, 100 Mbit/s\n" in displayed
    assert edited(hub, invite, "--max-bandwidth default")["limits"]["bandwidth"] is None


def test_an_invite_begins_with_limits_of_clients(hub: CommandedHub) -> None:
    command = ("invite", "create", "--hostnames", "limited.example.eu", "--max-bandwidth", "1500k")
    made = hub.json_of(*command)
    there = hub.json_of("invite", "show", "--id", made["invite_id"])
    hub.run("invite", "revoke", "--id", made["invite_id"])

    assert made["limits"] == there["limits"]
    assert there["limits"]["bandwidth"] == 1_500_000


def test_hostnames_come_and_go(hub: CommandedHub, invite: str) -> None:
    more = edited(hub, invite, "--add-hostname B.edit2.example.eu --remove-hostname " + HOSTS[0])
    whole = edited(hub, invite, "--hostnames c.edit3.example.eu,d.edit3.example.eu")
    both = edited(hub, invite, f"--hostnames {HOSTS[0]} --add-hostname {HOSTS[1]}")

    assert more["hostnames"] == [HOSTS[1], "b.edit2.example.eu"]
    assert whole["hostnames"] == ["c.edit3.example.eu", "d.edit3.example.eu"]
    assert both["hostnames"] == HOSTS


def test_ports_are_kept_and_let_go(hub: CommandedHub, invite: str) -> None:
    retained = edited(hub, invite, "--port tcp:42222 --add-port udp:42015-42030")
    left = edited(hub, invite, "--remove-port tcp:42222")

    assert [item["first_port"] for item in retained["ports"]] == [42_222, 42_015]
    assert left["ports"] == [{"protocol": "udp", "first_port": 42_015, "last_port": 42_030}]
    assert "ports      udp:42015-42030\n" in hub.stdout_of("invite", "show", "--id", invite)


def test_an_end_is_moved(hub: CommandedHub, invite: str) -> None:
    assert edited(hub, invite, "--expires 7d")["expires_at_ms"] > 0
    soon = f"{now() + timedelta(days=2):%Y-%m-%d}"
    assert edited(hub, invite, f"--expires-at {soon}")["expires_at"].startswith(f"{soon}T00")
    assert edited(hub, invite, "--expires never")["expires_at"] is None


def test_serving_ends_and_goes_on_by_a_flag_of_its_own(hub: CommandedHub) -> None:
    host = "trial.example.eu"
    made = hub.json_of("invite", "create", "--hostnames", host, "--serve-for", "30d")
    invite, tenant = made["invite_id"], made["tenant_id"]
    found = hub.json_of("invite", "show", "--id", invite)
    past = edited(hub, invite, "--serve-until 2020-01-31")
    counted = hub.json_of("status")
    shown = hub.stdout_of("tenant", "list", "--hostname", host)
    listed = hub.stdout_of("invite", "list", "--state", "ended")
    refused = hub.run("tenant", "resume", tenant)
    longer = edited(hub, invite, "--serve-for forever")
    hub.run("invite", "revoke", "--id", invite)

    served_for = datetime.fromisoformat(found["serves_until"]) - datetime.fromisoformat(
        found["created_at"]
    )
    assert (served_for, found["expires_at"]) == (timedelta(days=30), None)
    assert (past["state"], past["serves_until"][:10]) == ("ended", "2020-01-31")
    assert counted["tenants_ended"] == 1
    assert shown.splitlines()[1].split()[2] == "ended"
    assert "2020-01-31 00:00 UTC" in listed
    assert (refused.exit_code, "serves_until" in refused.stderr) == (1, True)
    assert (longer["state"], longer["serves_until"]) == ("pending", None)


@pytest.mark.parametrize(
    ("line", "exit_code", "reported"),
    [
        ("", 2, "nothing to change"),
        ("--remove-hostname x.example.eu", 2, "it has no x.example.eu; it has edit.example.eu"),
        (f"--hostnames {HOSTS[0]} --remove-hostname {HOSTS[0]}", 2, "revoke it instead"),
        ("--add-hostname localhost", 2, "--add-hostname: "),
        ("--hostnames ,", 2, "--hostnames: give 1 to 1000"),
        ("--remove-port tcp:1", 2, "it has no tcp:1; it has none"),
        ("--port udp:30-20", 2, "the first port is above the last"),
        ("--port tcp:80", 1, "port 80 is below 1024"),
        ("--expires 31d", 2, "--expires: at most 30d"),
        ("--expires-at 2037-01-31", 1, "expires_at: is 2037-01-31; at most 30 days from now"),
        ("--expires-at 2020-01-31", 1, "expires_at: 2020-01-31 00:00:00 UTC is over"),
        ("--expires 1d --expires-at 2037-01-01", 2, "not both"),
        ("--serve-for 1d --serve-until 2037-01-01", 2, "--serve-until: give --serve-for or"),
        ("--serve-for soon", 2, "--serve-for: write a number"),
        ("--serve-for 11y", 2, "--serve-for: at most 3660d"),
        ("--serve-until soon", 2, "--serve-until: write a date"),
        ("--max-ports many", 2, "--max-ports: is a number up to 1000000, or default"),
        ("--max-ports 1000001", 2, "--max-ports: "),
        ("--max-ports 99999999999", 2, "--max-ports: "),
        ("--name=", 2, "--name: "),
    ],
)
def test_an_edit_that_cannot_be_meant_changes_nothing(
    hub: CommandedHub, invite: str, line: str, exit_code: int, reported: str
) -> None:
    before = hub.json_of("invite", "show", "--id", invite)
    result = hub.run("invite", "edit", "--id", invite, *line.split())

    assert result.exit_code == exit_code
    assert reported in result.stderr
    assert result.stderr.count("\n") == 1
    assert hub.json_of("invite", "show", "--id", invite) == before


class Contended(Invites):
    """Client whose invite another operator edits right after it is read."""

    @override
    async def get(self, invite_id: str) -> Tagged[InviteDetail]:
        found = await super().get(invite_id)
        await self.update(invite_id, InviteEdit(hostnames=["other.example.eu"]))
        return found


class ContendedHub(HubClient):
    """Client of a hub that another operator uses, too."""

    def __init__(self, hub: CommandedHub) -> None:
        super().__init__(hub.url, operator_key=hub.key)
        self.invites = Contended(self._transport)


async def test_an_edit_of_somebody_else_in_between_is_told(hub: CommandedHub, invite: str) -> None:
    async with ContendedHub(hub) as client:
        with pytest.raises(Denied, match="--force") as caught:
            await edit.edit(client, invite, add_hostname=["edit4.example.eu"])
    async with hub.client() as client:
        now = (await client.invites.get(invite)).value

    assert caught.value.code is Code.PRECONDITION_FAILED
    assert now.hostnames == ["other.example.eu"]


async def test_force_overwrites_the_edit_of_somebody_else(hub: CommandedHub, invite: str) -> None:
    added = ["edit4.example.eu"]
    async with ContendedHub(hub) as client:
        displayed = await edit.edit(client, invite, add_hostname=added, force=True)

    assert displayed.document["hostnames"] == [*HOSTS, *added]


def test_invites_are_found_by_status_hostname_and_name(hub: CommandedHub, invite: str) -> None:
    def found(*flags: str) -> list[str]:
        return [item["invite_id"] for item in hub.json_of("invite", "list", *flags)["invites"]]

    assert found("--hostname", "EDIT.example.eu", "--status", "pending") == [invite]
    assert found("--name", "ditabl", "--status", "pending") == [invite]
    assert found("--hostname", "nobody.example.eu") == []
    assert invite not in found("--hostname", HOSTS[1], "--status", "revoked")
    assert invite in found()
    assert hub.stdout_of("invite", "list", "--name", "nobody") == "There is no such invite.\n"
    assert hub.run("invite", "list", "--hostname", "x").exit_code == 2
    assert hub.run("invite", "list", "--status", "lost").exit_code == 2


def test_an_edge_invite_is_shown(hub: CommandedHub) -> None:
    made = hub.json_of("edge-invite", "create", "--name", "oslo")
    displayed = hub.json_of("edge-invite", "show", "--id", made["invite_id"])

    assert displayed["edge_node_id"] == made["edge_node_id"]
    assert (displayed["name"], displayed["status"]) == ("oslo", "pending")
    assert made["token"] not in hub.stdout_of("edge-invite", "show", "--id", made["invite_id"])
    assert hub.run("edge-invite", "show", "--id", "A" * 22).exit_code == 1
