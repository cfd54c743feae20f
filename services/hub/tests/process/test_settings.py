"""Which database the settings name, how many connections it gets, and that no password is shown."""

import json
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from towonel.client.transport import to_httpx_url
from towonel.hub.app import bounds_of
from towonel.hub.bounds import Bounds
from towonel.hub.settings import HubSettings
from towonel.identity.keys import TenantKey
from towonel.runtime.settings import SettingsError, load
from towonel.wire import base64url

DRIVER, DSN = "TOWONEL_HUB_DB_DRIVER", "TOWONEL_HUB_DB_DSN"
POSTGRES = {DRIVER: "postgres", DSN: "postgres://u:hunter2@h/db"}


def loaded(**more: str) -> HubSettings:
    return load(HubSettings, {"TOWONEL_DATA_DIR": "/data", **more})


@pytest.mark.parametrize(
    ("dsn", "path"),
    [
        ("", "/data/hub.db"),
        ("/elsewhere/my.db", "/elsewhere/my.db"),
        ("my.db", "my.db"),
        ("what?.db", "what?.db"),
        ("sqlite:///elsewhere/my.db?mode=rwc", "/elsewhere/my.db"),
        ("sqlite://my.db", "my.db"),
    ],
)
def test_a_file_is_named_plainly_or_as_the_original_does(dsn: str, path: str) -> None:
    assert str(loaded(**{DSN: dsn}).database) == path


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://u:hunter2@h:5432/db",
        "postgresql://u:hunter2@h/db?sslmode=require",
        "postgresql+psycopg://u:hunter2@[::1]/db",
        "postgres://u@h/db?password=hunter2",
    ],
)
def test_a_server_is_shown_without_its_password(dsn: str) -> None:
    chosen = loaded(**{DRIVER: "postgres", DSN: dsn})

    assert chosen.database.url.database == "db"
    assert "hunter2" not in f"{chosen.database} {chosen.database!r} {chosen!r} {chosen}"
    assert str(chosen.database).startswith("postgresql://u")


@pytest.mark.parametrize(
    ("driver", "dsn", "rule"),
    [
        ("postgres", "", "must be set for postgres"),
        ("postgres", "mysql://u:hunter2@h/db", "must be postgres://user:password@host"),
        ("postgres", "postgres://u:hunter2@h", "names no database"),
        ("postgres", "postgres://u:hunter2@h:port/db", "must be postgres://user:password@host"),
        ("postgres", "postgres://u:hunter2@h:99999/db", "from 1 to 65535"),
        ("postgres", "host=h password=hunter2", "must be postgres://user:password@host"),
        ("sqlite", "postgres://u:hunter2@h/db", "set TOWONEL_HUB_DB_DRIVER=postgres"),
        ("sqlite", ":memory:", "must be the path of a file"),
        ("sqlite", "sqlite::memory:", "must be the path of a file"),
    ],
)
def test_a_dsn_that_cannot_be_used_is_refused_by_its_rule(driver: str, dsn: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(**{DRIVER: driver, DSN: dsn})

    assert [rule in problem for problem in caught.value.problems] == [True]
    assert caught.value.problems[0].startswith(f"{DSN}: ")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "open_and_idle"),
    [
        ({}, (4, 4)),
        (POSTGRES, (25, 10)),
        ({"TOWONEL_HUB_DB_MAX_OPEN_CONNS": "2"}, (2, 2)),
        (POSTGRES | {"TOWONEL_HUB_DB_MAX_IDLE_CONNS": "3"}, (25, 3)),
    ],
)
def test_connections_are_as_many_as_the_originals(
    environ: Mapping[str, str], open_and_idle: tuple[int, int]
) -> None:
    chosen = loaded(**environ)

    assert (chosen.max_connections, chosen.max_idle_connections) == open_and_idle


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://hub.example.eu:99999", "from 1 to 65535"),
        ("https://", "names no host"),
        ("https://me:hunter2@hub.example.eu", "user name or password"),
        ("https://hub.example.eu/?a=b", "query or a fragment"),
        ("https://hub .example.eu", "without white space"),
        ("https://0.0.0.0:8443", "must name a host that agents and edges can reach"),
        ("hub.example.eu", "must start with https://"),
    ],
)
def test_a_public_url_that_no_client_takes_is_refused(url: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(TOWONEL_HUB_PUBLIC_URL=url)

    assert [rule in problem for problem in caught.value.problems] == [True]
    assert caught.value.problems[0].startswith("TOWONEL_HUB_PUBLIC_URL: ")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://hub.example.eu:8443", "https://[2001:db8::1]/x", "http://192.0.2.1:8443/"]
)
def test_a_public_url_is_one_that_clients_take(url: str) -> None:
    public = loaded(TOWONEL_HUB_PUBLIC_URL=url).url

    assert str(to_httpx_url(public, allow_insecure=True)).rstrip("/") == url.rstrip("/")


def test_a_public_url_in_the_clear_is_taken_with_a_warning() -> None:
    (warning,) = loaded(TOWONEL_HUB_PUBLIC_URL="http://192.0.2.1:8443").warnings

    assert warning.startswith("TOWONEL_HUB_PUBLIC_URL: is http://")
    assert loaded(TOWONEL_HUB_PUBLIC_URL="http://127.0.0.1:8443").warnings == ()


@pytest.mark.parametrize("form", ["10.0.0.0/8,fd00::/8", '["10.0.0.0/8", "fd00::/8"]'])
def test_lists_are_of_either_form(form: str) -> None:
    chosen = loaded(TOWONEL_HUB_TRUSTED_PROXIES=form, TOWONEL_HUB_RESERVED_PORTS="[22, 25]")

    assert [str(network) for network in chosen.proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert chosen.ports_in_use == {22, 25, 8443, 9091}


def test_every_wrong_item_of_every_list_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(
            TOWONEL_HUB_TRUSTED_PROXIES="10.0.0.1/8,fd00::/8,lan",
            TOWONEL_HUB_RESERVED_PORTS="22,0,65536,x",
            TOWONEL_HUB_DB_DRIVER="postgres",
        )

    assert caught.value.problems == [
        f"{DSN}: must be set for postgres, as in postgres://user:password@host:5432/database",
        "TOWONEL_HUB_TRUSTED_PROXIES: '10.0.0.1/8' is not a network such as 10.0.0.0/8",
        "TOWONEL_HUB_TRUSTED_PROXIES: 'lan' is not a network such as 10.0.0.0/8 or fd00::/8",
        "TOWONEL_HUB_RESERVED_PORTS: '0' is not a port, 1 to 65535",
        "TOWONEL_HUB_RESERVED_PORTS: '65536' is not a port, 1 to 65535",
        "TOWONEL_HUB_RESERVED_PORTS: 'x' is not a port, 1 to 65535",
    ]


def test_a_key_may_be_wrapped_and_a_file_of_tenants_large(tmp_path: Path) -> None:
    keys = [TenantKey.from_seed(bytes([number]) * 32) for number in range(40)]
    tenants = [
        {
            "name": str(number),
            "id": key.tenant_id.hex(),
            "pq_public_key": base64url.encode(key.public),
        }
        for number, key in enumerate(keys)
    ]
    (tmp_path / "tenants").write_text(json.dumps(tenants))
    chosen = loaded(
        TOWONEL_TENANTS_FILE=str(tmp_path / "tenants"),
        TOWONEL_INVITE_HASH_KEY="ab" * 16 + "\r\n" + "cd" * 16,
    )

    assert (tmp_path / "tenants").stat().st_size > 100_000
    assert len(chosen.tenants) == 40
    assert chosen.invite_hash_key is not None
    assert chosen.invite_hash_key.get_secret_value() == "ab" * 16 + "cd" * 16


@pytest.mark.parametrize(("files", "awaited"), [(4_096, Bounds().awaited_bodies), (1_024, 96)])
def test_awaited_bodies_take_no_more_than_an_eighth_of_the_connections(
    files: int, awaited: int
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, limits[1]), limits[1]))
    try:
        bounds = bounds_of(loaded())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert bounds.awaited_bodies == awaited


def test_names_that_edges_answer_are_names() -> None:
    assert loaded(TOWONEL_HUB_RESERVED_HOSTNAMES="Hub.example.eu").hostnames_in_use == {
        "hub.example.eu"
    }
    with pytest.raises(SettingsError) as caught:
        loaded(TOWONEL_HUB_RESERVED_HOSTNAMES="hub,a.eu")

    [problem] = caught.value.problems
    assert problem.startswith("TOWONEL_HUB_RESERVED_HOSTNAMES: hostname 'hub' ")
