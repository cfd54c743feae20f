import json
import socket
from pathlib import Path

import pytest
from support.commands import towonel
from support.ports import free_port

from towonel.cli.commands.serve import programs_for
from towonel.cli.serving.listeners import ListenerSettings, check_addresses, find_clashes
from towonel.cli.settings import ServeSettings, child_environment, foreign_environment
from towonel.cli.subprocesses import Program
from towonel.edge.settings import EdgeSettings
from towonel.hub.settings import HubSettings
from towonel.runtime.settings import Settings, SettingsError, load


def programs(**environ: str) -> dict[str, Program]:
    return {p.name: p for p in programs_for(load(ServeSettings, environ), environ)}


def test_both_run_unless_one_is_switched_off() -> None:
    assert list(programs()) == ["hub", "edge"]
    assert list(programs(TOWONEL_HUB_ENABLED="false")) == ["edge"]
    assert list(programs(TOWONEL_EDGE_ENABLED="false")) == ["hub"]


def test_with_both_switched_off_there_is_nothing_to_run() -> None:
    with pytest.raises(SettingsError, match="nothing to run"):
        programs(TOWONEL_HUB_ENABLED="false", TOWONEL_EDGE_ENABLED="false")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("0.0.0.0:8443", "http://127.0.0.1:8443"),
        ("[::]:9000", "http://[::1]:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_the_edge_is_told_where_the_hub_beside_it_is(address: str, url: str) -> None:
    edge = programs(TOWONEL_HUB_LISTEN_ADDR=address)["edge"]

    assert edge.environ["TOWONEL_EDGE_HUB_URL"] == url
    assert "TOWONEL_ALLOW_INSECURE_HUB" not in edge.environ


def test_an_address_of_this_machine_needs_no_tls_and_only_the_edge_is_told_so() -> None:
    both = programs(TOWONEL_HUB_LISTEN_ADDR="192.0.2.1:8443")

    assert both["edge"].environ["TOWONEL_EDGE_HUB_URL"] == "http://192.0.2.1:8443"
    assert both["edge"].environ["TOWONEL_ALLOW_INSECURE_HUB"] == "true"
    assert "TOWONEL_ALLOW_INSECURE_HUB" not in both["hub"].environ


@pytest.mark.parametrize(
    "name",
    [
        "TOWONEL_EDGE_HUB_URL",
        "TOWONEL_EDGE_HUB_URLS",
        "TOWONEL_EDGE_INVITE_TOKEN",
        "TOWONEL_EDGE_INVITE_TOKEN_FILE",
    ],
)
def test_an_edge_that_has_a_hub_already_is_told_nothing(name: str) -> None:
    edge = programs(**{name: "elsewhere"})["edge"]

    assert edge.environ == {name: "elsewhere"}


def test_a_token_alone_starts_an_edge_and_no_hub() -> None:
    token = {"TOWONEL_EDGE_INVITE_TOKEN": "tt_edge_2_…"}
    links = {"TOWONEL_HUB_PORT": "tcp://10.0.0.7:8443", "TOWONEL_HUB_DB_DSN": ""}

    assert list(programs(**token)) == ["edge"]
    assert list(programs(TOWONEL_EDGE_INVITE_TOKEN_FILE="/run/secrets/token")) == ["edge"]
    assert list(programs(**token, **links, TOWONEL_HUB_URL="https://hub.example.eu")) == ["edge"]


def test_a_hub_runs_beside_a_token_where_a_variable_says_so() -> None:
    token = {"TOWONEL_EDGE_INVITE_TOKEN": "tt_edge_2_…"}

    assert list(programs(**token, TOWONEL_HUB_ENABLED="true")) == ["hub", "edge"]
    assert list(programs(**token, TOWONEL_HUB_PUBLIC_URL="https://hub.eu")) == ["hub", "edge"]
    assert list(programs(**token, TOWONEL_EDGE_ENABLED="false")) == ["hub"]


@pytest.mark.parametrize(
    ("environ", "reserved"),
    [
        ({"TOWONEL_HUB_PUBLIC_URL": "https://hub.eu"}, "hub.eu"),
        (
            {
                "TOWONEL_HUB_PUBLIC_URL": "https://hub.eu",
                "TOWONEL_HUB_RESERVED_HOSTNAMES": "a.eu,b.eu",
            },
            "a.eu,b.eu,hub.eu",
        ),
        ({"TOWONEL_EDGE_SELF_ROUTE": "api.eu=http://127.0.0.1:8443"}, "api.eu"),
        ({"TOWONEL_HUB_PUBLIC_URL": "https://hub.eu:8443"}, None),
        ({"TOWONEL_HUB_PUBLIC_URL": "https://hub.eu", "TOWONEL_EDGE_SELF_ROUTE": "off"}, None),
        ({"TOWONEL_HUB_PUBLIC_URL": "https://hub.eu", "TOWONEL_EDGE_ENABLED": "false"}, None),
        (
            {
                "TOWONEL_HUB_PUBLIC_URL": "https://hub.eu",
                "TOWONEL_EDGE_HUB_URL": "https://other.eu",
            },
            None,
        ),
    ],
)
def test_the_hub_keeps_the_name_that_the_edge_beside_it_answers(
    environ: dict[str, str], reserved: str | None
) -> None:
    assert programs(**environ)["hub"].environ.get("TOWONEL_HUB_RESERVED_HOSTNAMES") == reserved


def test_an_edge_alone_is_told_nothing() -> None:
    assert programs(TOWONEL_HUB_ENABLED="false")["edge"].environ == {"TOWONEL_HUB_ENABLED": "false"}


def test_hub_and_edge_get_neither_the_operators_key_nor_the_commands_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOWONEL_OPERATOR_KEY", "secret")
    monkeypatch.setenv("TOWONEL_HUB_ENABLED", "true")
    monkeypatch.setenv("TOWONEL_DATA_DIR", "/data")

    environ = child_environment()

    assert environ["TOWONEL_DATA_DIR"] == "/data"
    assert {"TOWONEL_OPERATOR_KEY", "TOWONEL_HUB_ENABLED"}.isdisjoint(environ)


def test_the_demo_is_the_same_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOWONEL_EDGE_LISTEN_ADDR", "0.0.0.0:1")

    environ = foreign_environment()

    assert "PATH" in environ
    assert not [name for name in environ if name.startswith("TOWONEL_")]


@pytest.mark.processes
def test_without_variables_the_folder_is_asked_for_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = towonel()

    assert ended.exit_code == 78
    assert ended.stderr.startswith("towonel: bad_configuration: TOWONEL_DATA_DIR: must be set")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cls", [ServeSettings, HubSettings, EdgeSettings])
def test_a_data_folder_that_is_a_file_is_a_mistake_of_its_variable(
    cls: type[Settings], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as caught:
        load(cls, {"TOWONEL_DATA_DIR": str(tmp_path / "file")})

    (line,) = caught.value.problems
    assert line.startswith(f"TOWONEL_DATA_DIR: {tmp_path}/file is a file")


def test_listeners_are_known_by_the_defaults_of_their_programs() -> None:
    ours, hub = load(ListenerSettings, {}), load(HubSettings, {})
    edge = load(EdgeSettings, {"TOWONEL_DATA_DIR": "/data"})

    assert (ours.hub_listen_addr, ours.hub_health) == (hub.listen_addr, hub.health_listen_addr)
    assert (ours.edge, ours.edge_health) == (edge.listen, edge.health_listen)


def test_a_hub_and_an_edge_with_one_port_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWONEL_EDGE_LISTEN_ADDR", "127.0.0.1:8443")
    monkeypatch.setenv("TOWONEL_HUB_HEALTH_LISTEN_ADDR", "no address")

    (line,) = find_clashes(programs().values())
    assert line.startswith(
        "TOWONEL_EDGE_LISTEN_ADDR: 127.0.0.1:8443 is taken by TOWONEL_HUB_LISTEN_ADDR=0.0.0.0:8443;"
    )
    assert find_clashes(programs(TOWONEL_HUB_ENABLED="false").values()) == []


def test_all_addresses_in_use_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        for name in ("HUB_LISTEN", "HUB_HEALTH_LISTEN", "EDGE_LISTEN", "EDGE_HEALTH_LISTEN"):
            monkeypatch.setenv(f"TOWONEL_{name}_ADDR", busy)
        with pytest.raises(SettingsError) as caught:
            check_addresses(programs().values())

    assert [
        line.partition(f": cannot listen on {busy}: ")[0] for line in caught.value.problems
    ] == [
        "TOWONEL_HUB_LISTEN_ADDR",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR",
        "TOWONEL_EDGE_LISTEN_ADDR",
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR",
    ]


@pytest.mark.processes
@pytest.mark.soak
def test_mistakes_of_both_programs_are_named_at_once(tmp_path: Path) -> None:
    wrong = {
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_RATE_LIMIT_BURST": "many",
        "TOWONEL_EDGE_MAX_SESSIONS": "many",
        "TOWONEL_REDIS_URL": "nonsense",  # read by both
        "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS": "-1",  # read by `serve`, too
        "TOWONEL_HUB_LISTEN": "0.0.0.0:8443",  # read by none
    }
    ended = towonel("serve", "--json", TOWONEL_DATA_DIR=str(tmp_path), **wrong)

    assert ended.exit_code == 78
    lines = json.loads(ended.stderr)["error"]["message"].splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(
        {*wrong} - {"TOWONEL_LOG_FORMAT"}
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.processes
def test_a_check_says_what_is_wrong_and_makes_nothing(tmp_path: Path) -> None:
    environ = {"TOWONEL_DATA_DIR": str(tmp_path), "TOWONEL_HUB_ENABLED": "false"}
    environ["TOWONEL_EDGE_HUB_URL"] = "http://127.0.0.1:1"
    good = towonel("serve", "--check", "--json", **environ)
    mistakes = {"TOWONEL_LOG_LEVEL": "loud", "TOWONEL_EDGE_MAX_SESSIONS": "many"}
    wrong = towonel("serve", "--check", **environ, **mistakes)

    assert (good.exit_code, wrong.exit_code) == (0, 78)
    assert json.loads(good.stdout)["ok"] is True
    assert wrong.stderr.count("TOWONEL_LOG_LEVEL: ") == 1
    assert "TOWONEL_EDGE_MAX_SESSIONS: " in wrong.stderr
    assert wrong.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.processes
def test_the_health_of_programs_that_do_not_run_is_said_of_each(tmp_path: Path) -> None:
    ports = {"HUB": free_port(), "EDGE": free_port()}
    environ = {
        f"TOWONEL_{name}_HEALTH_LISTEN_ADDR": f"127.0.0.1:{port}" for name, port in ports.items()
    }
    ended = towonel("serve", "--health", "--json", TOWONEL_DATA_DIR=str(tmp_path), **environ)

    assert ended.exit_code == 1
    document = json.loads(ended.stdout)
    assert document["ok"] is False
    assert [*document["problems"]] == [
        f"{name.lower()}: nothing answers at 127.0.0.1:{port}: [Errno 111] Connection refused"
        for name, port in ports.items()
    ]
    assert not list(tmp_path.iterdir())


def test_a_program_never_shows_its_environment() -> None:
    assert "secret" not in repr(Program("hub", "towonel.hub", {"TOWONEL_X": "secret"}))
