"""Which database the settings name, how many connections it gets, and that no password is shown."""

from collections.abc import Mapping

import pytest

from towonel.hub.settings import HubSettings
from towonel.runtime.settings import SettingsError, load

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
