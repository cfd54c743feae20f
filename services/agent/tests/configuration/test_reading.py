"""Settings of the agent, from variables, a file and flags: which of them counts, and where a mistake is."""

import json
from pathlib import Path

import pytest

from towonel.agent.configuration.reading import read_settings
from towonel.runtime.settings import SettingsError
from towonel.wire.tokens import InviteToken

TOKEN = InviteToken("https://hub.example.eu", bytes(16), b"S" * 32, b"K" * 32)
WEB = json.dumps([{"hostname": "a.eu", "origin": "127.0.0.1:1"}])
SSH = json.dumps([{"name": "ssh", "origin": "127.0.0.1:22", "listen_port": 2222}])
SERVICES, TCP_SERVICES = "TOWONEL_AGENT_SERVICES", "TOWONEL_AGENT_TCP_SERVICES"
UDP_SERVICES = "TOWONEL_AGENT_UDP_SERVICES"
YAML = f"""
invite_token: {TOKEN.encode()}
lanes: off
workers: 3
trusted_edges: [{"ab" * 32}]
allow_insecure_hub: true
services: [{{hostname: a.eu, origin: "127.0.0.1:1"}}]
tcp_services:
  - {{name: ssh, origin: "127.0.0.1:22", listen_port: auto, idle_timeout_secs: 300}}
udp_services:
  - {{name: ssh, origin: "127.0.0.1:53", listen_port: 22, max_unanswered_bytes: 4096}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


def environ_of(file: Path, text: str, **more: str) -> dict[str, str]:
    file.write_text(text)
    return {"TOWONEL_AGENT_CONFIG": str(file), **more}


def problems(environ: dict[str, str], **flags: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(flags, environ)
    return caught.value.problems


def test_a_file_may_have_every_setting(file: Path) -> None:
    settings = read_settings({}, environ_of(file, YAML))

    assert settings.invite_token == TOKEN
    assert (settings.lanes, settings.workers, settings.allow_insecure_hub) == ("off", 3, True)
    assert settings.trusted_edges == frozenset({b"\xab" * 32})
    web, ssh, other = settings.all_services
    assert [str(each.key) for each in (web, ssh, other)] == ["https:a.eu", "tcp:ssh", "udp:ssh"]
    assert (ssh.port, ssh.origin.idle_timeout_s) == ("auto", 300)
    assert (other.port, other.origin.max_unanswered_bytes) == (22, 4096)
    assert settings.files == (str(file),)


def test_a_variable_wins_over_the_file_and_one_that_is_empty_is_not_set(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "tcp.json").write_text("[]")
    environ = environ_of(file, YAML, TOWONEL_AGENT_WORKERS="5", TOWONEL_AGENT_LANES="")
    settings = read_settings({}, environ | {f"{TCP_SERVICES}_FILE": str(tmp_path / "tcp.json")})

    assert (settings.workers, settings.lanes, settings.tcp_services) == (5, "off", ())
    assert settings.files == (str(tmp_path / "tcp.json"), str(file))


def test_a_mistake_is_named_by_its_place_in_the_file(file: Path) -> None:
    text = YAML.replace("workers: 3", "workers: many\nworker: 2\nconfig: b").replace(
        "127.0.0.1:22", "x"
    )

    assert problems(environ_of(file, text, TOWONEL_AGENT_GROUP="No")) == [
        f"{file}: worker: unknown setting; did you mean workers?",
        f"{file}: config: unknown setting; there are {', '.join(KNOWN)}",
        (
            f"{file}: tcp_services: [0] (ssh).origin: must be host:port, with a port from 1 to 65535,"
            " as in 127.0.0.1:22, not 'x'"
        ),
        "TOWONEL_AGENT_GROUP: group 'No' must be 1 to 63 of a-z, 0-9 and -",
        f"{file}: workers: must be a whole number, at least 1 and at most 64",
    ]


KNOWN = [
    "allow_insecure_hub",
    "drain_timeout_secs",
    "edges",
    "group",
    "health_listen_addr",
    "invite_token",
    "lanes",
    "log_format",
    "log_level",
    "max_streams",
    "origin_timeout_secs",
    "regions",
    "relay_engine",
    "services",
    "tcp_services",
    "trusted_edges",
    "udp_services",
    "verify_public",
    "verify_public_port",
    "weight",
    "workers",
]


@pytest.mark.parametrize(
    ("suffix", "text", "rule"),
    [
        (
            "yaml",
            "services: {a: 1}",
            'must be a list, as in [{hostname: "app.example.eu", origin: "',
        ),
        ("toml", "services = 1", 'must be a list, as in [{hostname = "app.example.eu", origin = "'),
        ("yaml", "services: web", "must be a list"),
        ("yaml", "tcp_services: [22]", '[0]: must be a mapping, as in {name: "ssh", origin: "'),
        ("toml", "tcp_services = [22]", '[0]: must be a table, as in {name = "ssh", origin = "'),
    ],
)
def test_a_mistake_is_in_the_words_of_the_file(
    file: Path, suffix: str, text: str, rule: str
) -> None:
    file = file.with_suffix(f".{suffix}")
    (found,) = problems(environ_of(file, text, TOWONEL_INVITE_TOKEN=TOKEN.encode()))

    assert found.startswith(f"{file}: ")
    assert found.partition("services: ")[2].startswith(rule)
    assert "JSON" not in found


def test_a_file_that_cannot_be_read_is_all_that_is_said() -> None:
    (problem,) = problems({"TOWONEL_AGENT_CONFIG": "/nowhere/a.toml", "TOWONEL_AGENT_GROUP": "No"})

    assert problem == "TOWONEL_AGENT_CONFIG: cannot read /nowhere/a.toml: No such file or directory"


def test_flags_are_services_and_stand_beside_no_others_of_their_kind(file: Path) -> None:
    settings = read_settings(
        {TCP_SERVICES: SSH}, {"TOWONEL_INVITE_TOKEN": TOKEN.encode(), SERVICES: WEB}
    )
    both = problems(
        {SERVICES: WEB, f"{TCP_SERVICES}_FILE": "x", UDP_SERVICES: SSH},
        **{SERVICES: WEB, TCP_SERVICES: SSH, UDP_SERVICES: SSH},
    )

    assert [str(each.key) for each in settings.all_services] == ["https:a.eu", "tcp:ssh"]
    assert both[:3] == [
        f"--hostname: {SERVICES} is set, too; use one of them",
        f"--tcp: {TCP_SERVICES} is set, too; use one of them",
        f"--udp: {UDP_SERVICES} is set, too; use one of them",
    ]
    assert [line.partition(":")[0] for line in both[3:]] == [
        f"{TCP_SERVICES}_FILE",
        "TOWONEL_INVITE_TOKEN",
    ]
    assert problems(environ_of(file, YAML), **{SERVICES: WEB}) == [
        f"--hostname: {file} has services, too; use one of them"
    ]


def test_a_mistake_that_flags_make_together_is_named_by_a_flag() -> None:
    ssh = SSH.replace("ssh", "a.eu")
    found = problems({"TOWONEL_INVITE_TOKEN": TOKEN.encode()}, **{SERVICES: WEB, TCP_SERVICES: ssh})

    assert found == [
        "--tcp: [0] (a.eu).name: is a hostname of an HTTPS service, too; give it another"
    ]
