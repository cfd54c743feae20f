"""The hub as a process: keys, settings, Redis, and its end."""

import asyncio
import re
import stat
from pathlib import Path

import pytest
from redis.asyncio import Redis
from support import garbage
from support.hub import route_changes_over
from support.hub_process import own_process, ready, running, settings
from support.plain_http import plain_client
from support.ports import free_port
from support.redis_server import running_redis
from support.replicas import Replica

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient
from towonel.hub.app import serve
from towonel.hub.key_files import find_key_problems, load_keys
from towonel.hub.live.route_changes import RedisRouteChanges
from towonel.hub.settings import HubSettings
from towonel.hub.store.db.database import Database
from towonel.hub.timing import Timing
from towonel.identity.keys import NodeKey
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import SettingsError, load
from towonel.wire.errors import Unavailable
from towonel.wire.routes import CHANGES_CHANNEL

DOCUMENT = Path(__file__).parents[4] / "docs/operations.md"


async def test_a_hub_keeps_its_keys_and_what_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tmp_path / "state")
    async with running(chosen) as client:
        before = await client.health()
        await client.invites.create(InviteIn(hostnames=["a.eu"]))
    async with running(chosen) as client:
        monkeypatch.delattr("fastapi.routing.get_dependant")  # the routes are made by now
        after = await client.health()
        (invite,) = (await client.invites.list()).invites

    assert before == after
    assert invite.hostnames == ["a.eu"]
    for name in ("node.key", "operator.key", "invite_hash.key", "hub.db"):
        path = tmp_path / "state" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len((tmp_path / "state" / "operator.key").read_text()) == 43


async def test_the_filter_of_the_documents_finds_who_guesses_keys_in_the_log(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with own_process(tmp_path / "state", log, TOWONEL_HUB_TRUSTED_PROXIES="127.0.0.1") as hub:
        url = f"http://127.0.0.1:{hub.listen_addr[1]}"
        async with plain_client(base_url=url) as http:
            for path, key, client in (("/v1/keys", "x", "192.0.2.7"), ("/none", "x", "192.0.2.8")):
                headers = {"authorization": f"Bearer {key}", "x-forwarded-for": client}
                await http.get(path, headers=headers)
    line = re.search(r"^failregex = (.*)$", DOCUMENT.read_text(), re.MULTILINE)
    assert line
    found = re.findall(line[1].replace("<ADDR>", "([0-9a-f.:]+)"), log.read_text(), re.MULTILINE)

    assert found == ["192.0.2.7"]


async def test_a_hub_with_redis_publishes_there(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url:
        chosen = settings(tmp_path / "state", TOWONEL_REDIS_URL=url)
        async with running(chosen) as client, Redis.from_url(url) as redis, redis.pubsub() as heard:
            await heard.subscribe(CHANGES_CHANNEL)
            created = await client.invites.create(InviteIn(hostnames=["a.eu"]))
            await client.invites.revoke(created.invite_id)
            async with asyncio.timeout(20):
                while (await heard.get_message(timeout=1) or {}).get("data") != b"1":
                    pass
                heard_at = chosen.listen_addr[1]

    assert heard_at


async def test_a_replica_hears_the_others_and_survives_redis(tmp_path: Path) -> None:
    port = free_port()
    async with (
        running_redis(tmp_path, port) as url,
        route_changes_over(url) as ours,
        route_changes_over(url) as theirs,
    ):
        assert isinstance(ours, RedisRouteChanges)
        assert isinstance(theirs, RedisRouteChanges)
        async with asyncio.timeout(20):
            while not ours.is_connected:
                await asyncio.sleep(0.01)
            updates = asyncio.Event()
            ours.on_change = updates.set
            await theirs.publish(7)
            await updates.wait()

    assert theirs.revision == 7
    assert ours.revision == 0  # a claim, until the database has confirmed it


async def test_a_change_is_known_here_when_redis_is_away() -> None:
    async with (
        route_changes_over(f"redis://127.0.0.1:{free_port()}/0") as ours,
        asyncio.timeout(20),
    ):
        await ours.publish(3)
        await ours.wait_for(2, 10)

    assert ours.revision == 3


async def test_a_hub_that_is_cancelled_ends_its_requests_and_closes_its_database(
    tmp_path: Path,
) -> None:
    chosen, before = settings(tmp_path / "state"), asyncio.all_tasks()
    hub = asyncio.create_task(serve(chosen, asyncio.Event(), Timing(maintenance_s=0.01)))
    await ready(chosen, hub)
    node = NodeKey.from_seed((chosen.data_dir / "node.key").read_bytes())
    async with HubClient(f"http://127.0.0.1:{chosen.listen_addr[1]}") as edge:
        polling = asyncio.create_task(edge.follow_routes(node, 0, 30))
        await Replica(chosen, edge, node).until("towonel_hub_route_waiters", 1)
        hub.cancel()
        await asyncio.wait([hub])
        left = asyncio.all_tasks() - before - {polling}
        with pytest.raises(Unavailable):
            await polling

    assert hub.cancelled()
    assert left == set()
    garbage.collect()  # which would complain of an open connection


async def test_an_address_in_use_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    async with running(chosen):
        other = settings(
            tmp_path / "other",
            TOWONEL_HUB_LISTEN_ADDR=f"127.0.0.1:{chosen.listen_addr[1]}",
        )
        with pytest.raises(BaseExceptionGroup) as caught:
            await serve(other, asyncio.Event())

    assert caught.group_contains(SettingsError, match="cannot listen")


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("node.key", b"short", "exactly 32 bytes, has 5"),
        ("node.key", bytes(32), "holds only zeros"),
        ("operator.key", b" \n", "is empty"),
        ("operator.key", b"J3vYw4bYq0m1dGk2Zx7Qe\n", "has 21 characters, and needs at least 32"),
        ("invite_hash.key", b"0" * 64, "holds only zeros"),
        ("invite_hash.key", b"xyz", "64 hexadecimal digits"),
        ("invite_hash.key", b"ab", "64 hexadecimal digits"),
    ],
)
def test_a_broken_key_is_named_with_its_rule(
    tmp_path: Path, name: str, content: bytes, rule: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / name).chmod(0o600)

    with pytest.raises(SecretFileError, match=rule) as caught:
        load_keys(settings(tmp_path))
    line = next(one for one in str(caught.value).splitlines() if name in one)
    assert line.startswith("TOWONEL_DATA_DIR: ")  # which the path is from
    assert find_key_problems(settings(tmp_path)) == [line]


def test_a_check_of_the_keys_makes_none_and_names_the_variable_of_each(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    given = settings(tmp_path, TOWONEL_IDENTITY_KEY_PATH=str(tmp_path / "folder"))

    assert find_key_problems(settings(tmp_path)) == []
    (line,) = find_key_problems(given)
    assert line.startswith("TOWONEL_IDENTITY_KEY_PATH: ")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_two_listeners_of_a_hub_with_one_port_are_a_mistake(tmp_path: Path) -> None:
    one_port = {
        "TOWONEL_HUB_LISTEN_ADDR": "127.0.0.1:9000",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": "0.0.0.0:9000",
    }
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, **one_port)

    taken = "0.0.0.0:9000 is taken by TOWONEL_HUB_LISTEN_ADDR=127.0.0.1:9000"
    (line,) = caught.value.problems
    assert line == f"TOWONEL_HUB_HEALTH_LISTEN_ADDR: {taken}; set another port"


def test_the_hash_key_of_the_environment_wins(tmp_path: Path) -> None:
    keys = load_keys(settings(tmp_path, TOWONEL_INVITE_HASH_KEY="ab" * 32))

    assert keys.invite_hash == b"\xab" * 32
    assert not (tmp_path / "invite_hash.key").exists()
    assert "abab" not in repr(keys)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("TOWONEL_INVITE_HASH_KEY", "secret", "64 hexadecimal digits"),
        ("TOWONEL_HUB_PUBLIC_URL", "hub.example.eu", "https://"),
        ("TOWONEL_HUB_PUBLIC_URL", "https://0.0.0.0:8443", "can reach"),
        ("TOWONEL_HUB_PUBLIC_URL", "http://[::]:8443/", "can reach"),
        ("TOWONEL_HUB_LISTEN_ADRR", "x", "TOWONEL_HUB_LISTEN_ADDR"),
        ("TOWONEL_HUB_DB_DRIVER", "mysql", "sqlite"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(
    tmp_path: Path, name: str, value: str, rule: str
) -> None:
    with pytest.raises(SettingsError, match=rule) as caught:
        settings(tmp_path, **{name: value})
    assert caught.value.problems[0].startswith(name)
    assert "secret" not in str(caught.value)


def test_addresses_and_paths_follow_from_others(tmp_path: Path) -> None:
    plain = load(HubSettings, {"TOWONEL_DATA_DIR": str(tmp_path)})
    dsn = load(HubSettings, {"TOWONEL_HUB_DB_DSN": "sqlite:///x/y.db?mode=rwc"})
    v6 = load(HubSettings, {"TOWONEL_HUB_LISTEN_ADDR": "[::1]:8443"})

    assert plain.database == Database.in_file(tmp_path / "hub.db")
    assert plain.url == "http://127.0.0.1:8443"
    assert dsn.database == Database.in_file(Path("/x/y.db"))
    assert v6.url == "http://[::1]:8443"
