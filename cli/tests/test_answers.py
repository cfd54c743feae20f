"""What a command says of a server that does not answer as a hub that can do it."""

import asyncio
import json
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import override

import pytest
from support.commands import towonel
from support.ports import free_port
from support.scripted_server import Request, Server, serving

from towonel.cli.settings import CommandSettings
from towonel.cli.target import open_client, resolve_target
from towonel.client.operator import OperatorClient
from towonel.wire.errors import Unavailable

ID = "pJ4yYx1sT0mQ8aWv7c2d3g"
TENANT = "b7" * 32
HEALTH = {"status": "ok", "node_id": "ab" * 32, "version": "0.0.9", "protocol_version": 1}
# One of each resource that the original's hub does not have, and two that follow.
NEW_LINES = [
    "tenant list",
    f"tenant show {TENANT}",
    f"tenant suspend {TENANT}",
    "service list",
    "route list",
    "agent list",
    "port list",
    f"port release --id {ID}",
    "key list",
    f"key revoke --id {ID}",
    f"invite edit --id {ID} --name x",
    f"edge-invite show --id {ID}",
    "audit list",
    "audit tail",
    "audit tail -n 0",
    "whoami",
    "status",
    "status --watch",
]


class OldHub(Server):
    """A hub that knows only its health, and answers `status` without an envelope to all else."""

    status = 404
    has_health = True

    @override
    async def _request(self, reader: asyncio.StreamReader) -> Request:
        request = await super()._request(reader)
        if self.has_health and request.target == "/v1/health":
            self.reply(200, json.dumps(HEALTH), content_type="application/json")
        else:
            self.reply(self.status, "no such page")
        return request


@pytest.fixture
async def old_hub() -> AsyncGenerator[OldHub]:
    found = OldHub()
    async with serving(found.serve) as found.port:
        yield found


async def said(line: str, **environ: str) -> tuple[int, str]:
    result = await asyncio.to_thread(
        towonel, *shlex.split(line), TOWONEL_OPERATOR_KEY="k", **environ
    )
    return result.exit_code, result.stderr


@pytest.mark.parametrize("line", NEW_LINES)
async def test_a_hub_without_an_operation_is_too_old_and_not_away(
    old_hub: OldHub, line: str
) -> None:
    exit_code, stderr = await said(line, TOWONEL_HUB_URL=old_hub.url)

    assert exit_code == 1, stderr
    assert stderr.startswith("towonel: unsupported_op: this hub is too old: version 0.0.9 has no ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "exit_code"), [(404, 1), (405, 1), (501, 1), (400, 75), (403, 75), (502, 75)]
)
async def test_only_what_servers_say_of_unknown_paths_means_that_a_hub_is_too_old(
    old_hub: OldHub, status: int, exit_code: int
) -> None:
    old_hub.status = status

    assert (await said("tenant list", TOWONEL_HUB_URL=old_hub.url))[0] == exit_code


@pytest.mark.parametrize("line", ["status", "tenant list"])
async def test_a_server_that_is_no_hub_is_named_with_what_named_it(
    old_hub: OldHub, line: str
) -> None:
    old_hub.has_health = False
    exit_code, stderr = await said(line, TOWONEL_HUB_URL=old_hub.url)

    assert exit_code == 75
    assert f"GET {old_hub.url}/v1/" in stderr
    assert "answered 404, but not as a hub does" in stderr
    assert stderr.endswith("(the address is from TOWONEL_HUB_URL)\n")  # nor that it does not run


@pytest.mark.parametrize("status", [None, 400])
async def test_a_hub_that_nobody_named_is_told_with_the_default_and_the_way_out(
    old_hub: OldHub, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    port = old_hub.port if status else free_port()
    old_hub.status, old_hub.has_health = status or 404, False
    # As if this were the default's port: what listens at 8443 here is not known.
    settings = CommandSettings.model_construct(set(), hub_listen_addr=("127.0.0.1", port))
    target = resolve_target(settings, None, None, needs_key=False)
    with pytest.raises(Unavailable) as caught:
        async with open_client(target, OperatorClient) as hub:
            await hub.health()

    assert f"http://127.0.0.1:{port}/v1/health: " in caught.value.detail
    assert "the default of TOWONEL_HUB_LISTEN_ADDR; set that" in caught.value.detail


async def test_flags_variables_and_logins_are_named_as_what_an_address_is_from(
    tmp_path: Path,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    profile = {"current": "home", "profiles": {"home": {"hub_url": url, "key": "k"}}}
    (tmp_path / "towonel").mkdir()
    (tmp_path / "towonel" / "profiles.json").write_text(json.dumps(profile))
    (tmp_path / "towonel" / "profiles.json").chmod(0o600)

    _, flag = await said(f"status --hub-url {url}")
    _, variable = await said("status", TOWONEL_HUB_LISTEN_ADDR=f"0.0.0.0:{port}")
    _, login = await said("status", XDG_CONFIG_HOME=str(tmp_path))
    assert "(the address is from --hub-url). Does the hub of this machine run? `towonel " in flag
    assert "(the address is from TOWONEL_HUB_LISTEN_ADDR)" in variable
    assert "profiles.json)" in login
