"""API keys and reserved ports on the command line, against a real hub."""

import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest
from support.commands import CommandedHub

from towonel.api.fields import MAX_HOSTNAMES
from towonel.cli.commands import edge_invite, port
from towonel.cli.commands import key as key_commands
from towonel.cli.commands.invite import list as invite_list
from towonel.cli.output import Output
from towonel.client.hub import HubClient
from towonel.client.request import MAX_PAGE_BYTES

NOBODY = "0f" * 32


@pytest.fixture
def tenant_id(hub: CommandedHub) -> Iterator[str]:
    made = hub.json_of("invite", "create", "--hostnames", "ports.example.eu")
    yield made["tenant_id"]
    hub.run("invite", "revoke", "--id", made["invite_id"])


@pytest.fixture
def key(hub: CommandedHub) -> dict[str, Any]:
    return hub.json_of("key", "create", "--name", "ci", "--role", "viewer")


def test_a_keys_secret_stands_on_a_line_of_its_own_and_is_shown_only_when_made(
    hub: CommandedHub,
) -> None:
    reported = hub.stdout_of(
        "key", "create", "--name", "ci", "--role", "operator", "--expires", "90d"
    )
    secret = reported.splitlines()[-1]
    listed = hub.stdout_of("key", "list") + hub.stdout_of("key", "list", "--json")

    assert secret.startswith("tt_key_1_")
    assert hub.run("invite", "list", TOWONEL_OPERATOR_KEY=secret).exit_code == 0
    assert hub.run("invite", "list", "--api-key", secret).exit_code == 0
    assert listed.split()[:4] == ["ID", "NAME", "STATUS", "ROLE"]
    assert secret not in listed


def test_a_key_may_do_what_its_role_says(hub: CommandedHub, key: dict[str, Any]) -> None:
    secret = {"TOWONEL_OPERATOR_KEY": str(key["key"])}

    assert hub.run("port", "list", **secret).exit_code == 0
    assert hub.run("key", "list", **secret).stderr.startswith("towonel: forbidden: ")


def test_a_key_for_one_tenant_sees_that_one_alone(hub: CommandedHub, tenant_id: str) -> None:
    flags = ("--name", "home", "--role", "viewer", "--tenant-id", tenant_id.upper())
    made = hub.json_of("key", "create", *flags)
    secret = str(made["key"])

    assert made["tenant_id"] == tenant_id
    assert hub.run("entry", "list", "--tenant-id", tenant_id, "--api-key", secret).exit_code == 0
    assert hub.run("entry", "list", "--tenant-id", NOBODY, "--api-key", secret).exit_code == 1


def test_a_key_is_edited_rotated_and_revoked(hub: CommandedHub, key: dict[str, Any]) -> None:
    which = ("--id", str(key["key_id"]))
    renamed = hub.json_of("key", "edit", *which, "--name", "cd", "--expires", "1d")
    ends = hub.json_of("key", "edit", *which, "--expires", "never", "--force")
    rotated = hub.stdout_of("key", "rotate", *which, "--grace", "0").splitlines()[-1]
    old = hub.run("port", "list", "--api-key", str(key["key"]))
    new = hub.run("port", "list", "--api-key", rotated)
    revoked = hub.stdout_of("key", "revoke", *which)

    assert (renamed["name"], ends["name"]) == ("cd", "cd")
    assert renamed["expires_at"] is not None
    assert ends["expires_at"] is None
    assert (old.exit_code, new.exit_code) == (1, 0)
    assert revoked == f"revoked {key['key_id']}\n"
    assert hub.json_of("key", "show", *which)["status"] == "revoked"


def test_the_old_secret_works_on_for_as_long_as_was_said(
    hub: CommandedHub, key: dict[str, Any]
) -> None:
    reported = hub.stdout_of("key", "rotate", "--id", str(key["key_id"]), "--grace", "1h")

    assert "the old one works for 3600 s more" in reported
    assert hub.run("port", "list", "--api-key", str(key["key"])).exit_code == 0


def test_ports_are_reserved_listed_and_released(hub: CommandedHub, tenant_id: str) -> None:
    tenant = ("--tenant-id", tenant_id, "--protocol")
    one = hub.json_of("port", "reserve", *tenant, "tcp", "--port", "43222")
    some = hub.stdout_of("port", "reserve", *tenant, "udp", "--ports", "43015-43030")
    free = hub.json_of("port", "reserve", *tenant, "udp")
    listed = hub.stdout_of("port", "list", "--tenant-id", tenant_id).splitlines()
    released = hub.stdout_of("port", "release", "--id", one["reservation_id"])

    assert "ports      udp:43015-43030\n" in some
    assert free["first_port"] == free["last_port"]
    assert listed[0].split() == ["ID", "PROTOCOL", "PORTS", "TENANT", "SINCE"]
    assert [line.split()[1:3] for line in listed[1:]] == [
        ["tcp", "43222"],
        ["udp", str(free["first_port"])],
        ["udp", "43015-43030"],
    ]
    assert released == f"released {one['reservation_id']}\n"
    assert hub.stdout_of("port", "list", "--tenant-id", tenant_id, "--protocol", "tcp") == (
        "No port is reserved.\n"
    )


def test_free_ports_are_printed_one_a_line(hub: CommandedHub, tenant_id: str) -> None:
    first, second = hub.stdout_of("port", "available", "--protocol", "tcp", "--count", "2").split()
    tenant = ("--tenant-id", tenant_id, "--protocol", "tcp")
    hub.stdout_of("port", "reserve", *tenant, "--port", first)

    assert hub.stdout_of("port", "available", "--protocol", "tcp") == f"{second}\n"


ID = "A" * 22
REFUSED: list[tuple[str, int]] = [
    (f"port reserve --tenant-id {NOBODY} --protocol tcp --port 43000", 1),
    ("port reserve --tenant-id abc --protocol tcp --port 43000", 2),
    (f"port reserve --tenant-id {NOBODY} --protocol tcp --ports 9-2", 2),
    (f"port reserve --tenant-id {NOBODY} --protocol tcp --ports 9 --port 9", 2),
    (f"port reserve --tenant-id {NOBODY} --protocol tcp --port 65536", 2),
    (f"port reserve --tenant-id {NOBODY} --protocol sctp", 2),
    ("port list --tenant-id abc", 2),
    ("port available --protocol tcp --count 201", 2),
    (f"port release --id {ID}", 1),
    ("port release --id ../x", 1),
    ("key create --name x --role king", 2),
    ("key create --role viewer", 2),
    ("key create --name= --role viewer", 2),
    ("key create --name x --role viewer --expires soon", 2),
    ("key create --name x --role viewer --expires 59s", 2),
    ("key create --name x --role viewer --expires 3661d", 2),
    ("key create --name x --role viewer --tenant-id abc", 2),
    (f"key create --name x --role viewer --tenant-id {NOBODY}", 1),
    ("key show --id AAAAAAAAAAA", 1),
    ("key edit --id AAAAAAAAAAA", 2),
    ("key edit --id AAAAAAAAAAA --name x", 1),
    ("key edit --id AAAAAAAAAAA --expires-at soon", 2),
    ("key rotate --id AAAAAAAAAAA --grace 31d", 2),
    ("key revoke --id AAAAAAAAAAA", 1),
]


@pytest.mark.parametrize(("line", "exit_code"), REFUSED)
def test_a_mistake_has_its_exit_code_and_no_traceback(
    hub: CommandedHub, line: str, exit_code: int
) -> None:
    result = hub.run(*line.split())

    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr


async def streamed(content: bytes) -> AsyncGenerator[bytes]:
    yield content


@pytest.mark.parametrize(
    ("list_all", "name"),
    [
        (invite_list.list_all, "invites"),
        (edge_invite.list_all, "invites"),
        (key_commands.list_all, "keys"),
        (port.list_all, "ports"),
    ],
    ids=["invite", "edge-invite", "key", "port"],
)
async def test_a_list_is_walked_to_its_end(
    list_all: Callable[[HubClient], Coroutine[Any, Any, Output]], name: str
) -> None:
    cursors = list[str | None]()

    async def page(request: httpx.Request) -> httpx.Response:
        cursors.append(request.url.params.get("cursor"))
        following = "next" if len(cursors) == 1 else None
        body = json.dumps({name: [], "next_cursor": following}).encode()
        return httpx.Response(200, content=streamed(body))

    transport = httpx.MockTransport(page)
    async with HubClient("http://127.0.0.1:1", operator_key="k", transport=transport) as client:
        await list_all(client)

    assert cursors == [None, "next"]


async def test_so_many_invites_are_asked_for_at_once_as_can_be_read() -> None:
    limits = list[int]()

    async def page(request: httpx.Request) -> httpx.Response:
        limits.append(int(request.url.params["limit"]))
        return httpx.Response(200, content=streamed(b'{"invites": []}'))

    transport = httpx.MockTransport(page)
    async with HubClient("http://127.0.0.1:1", operator_key="k", transport=transport) as client:
        await invite_list.list_all(client)

    assert limits[0] * MAX_HOSTNAMES * 256 <= MAX_PAGE_BYTES
