"""Settings of the agent: all mistakes reported at once, and never the token."""

import json
from pathlib import Path

import pytest
from support.fork_server import CommandResult, run_command

from towonel.agent.settings import AgentSettings, LaneMode
from towonel.runtime.settings import SettingsError, load, variables
from towonel.wire.tokens import InviteToken

TOKEN = InviteToken("https://hub.example.eu", bytes(16), b"S" * 32, b"K" * 32)
SERVICES = json.dumps([{"hostname": "a.eu", "origin": "127.0.0.1:1"}])
GOOD = {"TOWONEL_INVITE_TOKEN": TOKEN.encode(), "TOWONEL_AGENT_SERVICES": SERVICES}


def run_agent(folder: Path, environ: dict[str, str], *arguments: str) -> CommandResult:
    return run_command(environ, *arguments, folder=folder, program="agent")


@pytest.mark.parametrize(
    "written",
    [
        f"\ufeff{TOKEN.encode()}\r\n",
        f'"{TOKEN.encode()}"',
        f"{TOKEN.encode()[:60]}\n  {TOKEN.encode()[60:120]}\r\n{TOKEN.encode()[120:]}",
    ],
)
def test_a_token_is_read_as_editors_and_terminals_write_it(written: str) -> None:
    assert load(AgentSettings, GOOD | {"TOWONEL_INVITE_TOKEN": written}).invite_token == TOKEN


def test_what_is_empty_is_not_set_and_service_links_are_passed_over() -> None:
    environ = {
        "TOWONEL_INVITE_TOKEN": TOKEN.encode(),
        "TOWONEL_INVITE_TOKEN_FILE": "",
        "TOWONEL_AGENT_SERVICES": "",
        "TOWONEL_AGENT_TRUSTED_EDGES": " ",
        "TOWONEL_AGENT_GROUP": "",
        "TOWONEL_LOG_LEVEL": "",
        "TOWONEL_ALLOW_INSECURE_HUB": "true\r",
        "TOWONEL_HUB_PORT": "tcp://10.0.0.7:8443",
        "TOWONEL_AGENT_SERVICE_HOST": "10.0.0.8",
    }
    settings = load(AgentSettings, environ)

    assert (settings.services, settings.group, settings.log_level) == ((), "default", "info")
    assert settings.trusted_edges is None
    assert settings.allow_insecure_hub


def test_a_mode_of_lanes_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        load(AgentSettings, GOOD | {"TOWONEL_AGENT_LANES": "on"})

    (problem,) = caught.value.problems
    assert problem.startswith("TOWONEL_AGENT_LANES: ")
    assert "auto, tls or off" in problem
    for mode in LaneMode:
        assert load(AgentSettings, GOOD | {"TOWONEL_AGENT_LANES": mode.value}).lanes is mode
    assert load(AgentSettings, GOOD).lanes is LaneMode.AUTO


@pytest.mark.parametrize("value", ["0", "65", "two"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOWONEL_AGENT_WORKERS: ") as caught:
        load(AgentSettings, GOOD | {"TOWONEL_AGENT_WORKERS": value})

    assert len(caught.value.problems) == 1
    assert load(AgentSettings, GOOD | {"TOWONEL_AGENT_WORKERS": "64"}).workers == 64
    assert load(AgentSettings, GOOD).workers == 1


def test_services_of_all_variables_are_served_and_checked_together() -> None:
    tcp, udp = "TOWONEL_AGENT_TCP_SERVICES", "TOWONEL_AGENT_UDP_SERVICES"
    settings = load(AgentSettings, GOOD | {tcp: named("ssh", 22), udp: named("ssh")})
    with pytest.raises(SettingsError) as caught:
        load(AgentSettings, GOOD | {tcp: named("ssh", "a.eu", "A.eu"), udp: named("a.eu")})

    keys = [str(each.key) for each in settings.all_services]
    assert keys == ["https:a.eu", "tcp:ssh", "tcp:22", "udp:ssh"]
    assert [line.partition(".name: is a hostname")[0] for line in caught.value.problems] == [
        f"{tcp}: [1] (a.eu)",
        f"{tcp}: [2] (A.eu)",
        f"{udp}: [0] (a.eu)",
    ]


def named(*names: object) -> str:
    fields = {"origin": "127.0.0.1:1", "listen_port": "auto"}
    return json.dumps([{"name": str(name), **fields} for name in names])


def test_too_many_services_in_all_are_blamed_on_a_variable_that_has_some() -> None:
    long = [f"{'x' * 60}.{'y' * 60}.n{number:03}.eu" for number in range(500)]
    services = json.dumps([{"hostname": name, "origin": "127.0.0.1:1"} for name in long])
    for more, blamed in (
        ({}, "SERVICES"),
        ({"TOWONEL_AGENT_TCP_SERVICES": named(1)}, "TCP_SERVICES"),
        ({"TOWONEL_AGENT_UDP_SERVICES": named(1)}, "UDP_SERVICES"),
    ):
        with pytest.raises(SettingsError, match="too long in all") as caught:
            load(AgentSettings, GOOD | {"TOWONEL_AGENT_SERVICES": services} | more)

        assert caught.value.problems[0].startswith(f"TOWONEL_AGENT_{blamed}: ")


@pytest.mark.parametrize("value", ["", "[]"])
def test_an_agent_without_a_service_is_questioned(value: str) -> None:
    (warning,) = load(AgentSettings, GOOD | {"TOWONEL_AGENT_SERVICES": value}).warnings

    assert warning.startswith("TOWONEL_AGENT_SERVICES: has no service")
    some = {"TOWONEL_AGENT_SERVICES": value, "TOWONEL_AGENT_TCP_SERVICES": named("ssh")}
    assert load(AgentSettings, GOOD | some).warnings == ()
    assert "withdraws all that agents of TOWONEL_AGENT_GROUP=default with its token" in warning
    assert load(AgentSettings, GOOD).warnings == ()


def test_trusted_edges_are_a_list_of_either_form() -> None:
    ids = ("ab" * 32, "cd" * 32)
    for form in (",".join(ids), json.dumps(ids)):
        settings = load(AgentSettings, GOOD | {"TOWONEL_AGENT_TRUSTED_EDGES": form})

        assert settings.trusted_edges == frozenset(map(bytes.fromhex, ids))


def test_edges_and_regions_are_lists_of_either_form() -> None:
    for form in ("rome, oslo", '["rome", "oslo"]'):
        chosen = {"TOWONEL_AGENT_EDGES": form, "TOWONEL_AGENT_REGIONS": "EU"}
        settings = load(AgentSettings, GOOD | chosen)

        assert settings.edge_choice.names == {"rome", "oslo"}
        assert settings.edge_choice.regions == {"eu"}


def test_a_region_that_no_edge_can_have_is_an_error() -> None:
    with pytest.raises(SettingsError, match="TOWONEL_AGENT_REGIONS: region 'e u' must be 1 to 63"):
        load(AgentSettings, GOOD | {"TOWONEL_AGENT_REGIONS": "eu, e u"})


def test_a_file_of_many_services_is_read_whole(tmp_path: Path) -> None:
    services = [
        {"hostname": f"app-{number}.home.example.eu", "origin": "127.0.0.1:8443"}
        for number in range(1_000)
    ]
    (tmp_path / "services").write_text(json.dumps(services, indent=2), "utf-16")
    given = {"TOWONEL_AGENT_SERVICES_FILE": str(tmp_path / "services")}
    settings = load(AgentSettings, {"TOWONEL_INVITE_TOKEN": TOKEN.encode(), **given})

    assert (tmp_path / "services").stat().st_size > 2 * 64 * 1024
    assert len(settings.services) == 1_000


def test_what_is_given_is_read() -> None:
    edges = json.dumps(["ab" * 32])
    settings = load(AgentSettings, {**GOOD, "TOWONEL_AGENT_TRUSTED_EDGES": edges})

    assert settings.invite_token == TOKEN
    assert [str(service.key) for service in settings.services] == ["https:a.eu"]
    assert settings.trusted_edges == frozenset({b"\xab" * 32})
    assert settings.health_listen_addr == ("127.0.0.1", 9090)


def test_every_mistake_is_named_at_once_and_the_process_ends_with_78(tmp_path: Path) -> None:
    ended = run_agent(
        tmp_path,
        {
            "TOWONEL_INVITE_TOKEN": TOKEN.encode()[:-4],
            "TOWONEL_AGENT_SERVICES": '[{"hostname": "x"}]',
            "TOWONEL_AGENT_GROUP": "No Group",
            "TOWONEL_AGENT_TRUSTED_EDGES": '["ab", 5]',
            "TOWONEL_AGENT_SERVICE": "[]",
        },
    )

    assert ended.code == 78
    names = [line.partition(":")[0].partition("[")[0] for line in ended.stderr.splitlines()]
    assert names == [
        "TOWONEL_AGENT_SERVICE",
        "TOWONEL_INVITE_TOKEN",
        "TOWONEL_AGENT_SERVICES",
        "TOWONEL_AGENT_SERVICES",
        "TOWONEL_AGENT_GROUP",
        "TOWONEL_AGENT_TRUSTED_EDGES",
        "TOWONEL_AGENT_TRUSTED_EDGES",
    ]
    assert "did you mean TOWONEL_AGENT_SERVICES?" in ended.stderr
    assert TOKEN.encode()[40:60] not in ended.stderr + ended.stdout


def test_a_service_of_the_wrong_shape_is_one_line() -> None:
    wrong = '[{"hostname": "a.eu", "origin": "127.0.0.1:1", "proxy_protocol": ["v2"]}]'
    with pytest.raises(SettingsError) as caught:
        load(AgentSettings, {**GOOD, "TOWONEL_AGENT_SERVICES": wrong})

    assert caught.value.problems == [
        'TOWONEL_AGENT_SERVICES: [0] (a.eu).proxy_protocol: must be "v2" or "none", not [\'v2\']'
    ]


def test_a_number_that_python_does_not_convert_is_refused_without_its_words() -> None:
    with pytest.raises(SettingsError) as caught:
        load(AgentSettings, {**GOOD, "TOWONEL_AGENT_SERVICES": f"[{'1' * 5_000}]"})

    assert caught.value.problems == [
        "TOWONEL_AGENT_SERVICES: is not JSON that can be used: a number in it is too long"
    ]


def test_without_a_token_the_variable_and_its_form_are_named(tmp_path: Path) -> None:
    ended = run_agent(tmp_path, {})

    assert ended.code == 78
    assert "TOWONEL_INVITE_TOKEN" in ended.stderr


@pytest.mark.parametrize("value", ["[", "{}", '["xyz"]', "[1]", '["AB"]', "[" * 100_000])
def test_a_list_of_trusted_edges_with_a_mistake_is_refused_whole(value: str) -> None:
    with pytest.raises(SettingsError, match="JSON array of edge ids"):
        load(AgentSettings, {**GOOD, "TOWONEL_AGENT_TRUSTED_EDGES": value})


def test_a_hub_in_the_clear_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    token = InviteToken("http://hub.example.eu", bytes(16), bytes(32), bytes(32)).encode()
    ended = run_agent(tmp_path, {**GOOD, "TOWONEL_INVITE_TOKEN": token})

    assert ended.code == 78
    assert "https://" in ended.stderr
    assert "TOWONEL_ALLOW_INSECURE_HUB" in ended.stderr


def test_the_token_is_hidden_and_known_as_a_secret() -> None:
    settings = load(AgentSettings, GOOD)
    (token,) = (v for v in variables(AgentSettings) if v.name == "TOWONEL_INVITE_TOKEN")

    assert "SSSS" not in repr(settings)
    assert token.is_secret


def test_help_and_version_need_no_environment(tmp_path: Path) -> None:
    assert "TOWONEL_AGENT_SERVICES" in run_agent(tmp_path, {}, "--help").stdout
    assert run_agent(tmp_path, {}, "--version").stdout.startswith("towonel-agent 0.")


def test_a_file_for_the_id_that_cannot_be_written_is_a_mistake_in_the_command_line(
    tmp_path: Path,
) -> None:
    ended = run_agent(tmp_path, GOOD, "--node-id-out", "/dev/null/id")

    assert (ended.code, ended.stdout) == (2, "")
    assert "--node-id-out: cannot write /dev/null/id: " in ended.stderr
