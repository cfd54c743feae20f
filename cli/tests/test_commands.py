"""The command against a real hub, started the way its user starts it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import CommandedHub

HOST = "app.example.eu"


@pytest.fixture
def invite(hub: CommandedHub) -> Iterator[dict[str, object]]:
    made = hub.json_of("invite", "create", "--name", "home", "--hostnames", HOST, "--expires", "7d")
    yield made
    hub.run("invite", "revoke", "--id", str(made["invite_id"]))


def test_an_invite_is_made_listed_and_revoked(hub: CommandedHub) -> None:
    made = hub.json_of("invite", "create", "--hostnames", "a.example.eu, *.B.example.eu")
    listed = hub.json_of("invite", "list")["invites"]
    revoked = hub.run("invite", "revoke", "--id", str(made["invite_id"]))

    assert str(made["token"]).startswith("tt_inv_2_")
    assert isinstance(listed, list)
    names = [item["hostnames"] for item in listed if item["invite_id"] == made["invite_id"]]
    assert [sorted(name) for name in names] == [["*.b.example.eu", "a.example.eu"]]
    assert revoked.stdout == f"revoked {made['invite_id']}\n"


def test_a_token_stands_on_a_line_of_its_own_and_is_shown_only_when_made(hub: CommandedHub) -> None:
    result = hub.run("invite", "create", "--hostnames", "token.example.eu")

    token = result.stdout.splitlines()[-1]
    assert token.startswith("tt_inv_2_")
    assert len(token) > 80
    assert "never" in result.stdout
    assert (
        token not in hub.run("invite", "list").output + hub.run("invite", "list", "--json").output
    )


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ("invite create --hostnames alike.example.eu", "TOWONEL_INVITE_TOKEN"),
        ("edge-invite create", "TOWONEL_EDGE_INVITE_TOKEN"),
    ],
)
def test_a_token_stands_alone_on_the_last_line_and_as_the_variable_that_takes_it(
    hub: CommandedHub, line: str, variable: str
) -> None:
    lines = hub.stdout_of(*line.split()).splitlines()

    assert lines[-1].startswith("tt_")
    assert lines.count(f"{variable}={lines[-1]}") == 1


def test_every_name_of_a_repeated_list_is_taken(hub: CommandedHub) -> None:
    names = [f"{letter}.repeated.example.eu" for letter in "abcdef"]
    made = hub.json_of(
        *("invite", "create", "--hostnames", ",".join(names[:2]), "--hostnames", names[2])
    )
    edit = ("invite", "edit", "--id", str(made["invite_id"]))
    more = hub.json_of(*edit, "--add-hostname", names[3], "--add-hostname", ",".join(names[4:]))
    less = hub.json_of(
        *edit, "--remove-hostname", ",".join(names[:2]), "--remove-hostname", names[2]
    )
    new = hub.json_of(*edit, "--hostnames", names[0], "--hostnames", names[1])
    ports = hub.json_of(*edit, "--add-port", "tcp:22022,udp:22023", "--add-port", "tcp:22024")

    assert made["hostnames"] == names[:3]
    assert sorted(more["hostnames"]) == names
    assert sorted(less["hostnames"]) == names[3:]
    assert sorted(new["hostnames"]) == names[:2]
    assert sorted(item["first_port"] for item in ports["ports"]) == [22022, 22023, 22024]


def test_an_edge_invite_is_made_listed_and_revoked(hub: CommandedHub) -> None:
    hub.run("edge-invite", "create", "--name", "main")
    listed = hub.json_of("edge-invite", "list")["invites"]

    [invite_id] = [item["invite_id"] for item in listed if item["name"] == "main"]
    assert hub.run("edge-invite", "revoke", "--id", invite_id).exit_code == 0
    assert "revoked" in hub.run("edge-invite", "list").stdout


def test_lists_fit_programs_that_read_lines(hub: CommandedHub, invite: dict[str, object]) -> None:
    lines = hub.run("invite", "list").stdout.splitlines()

    assert lines[0].split() == ["ID", "NAME", "STATUS", "EXPIRES", "ENDS", "HOSTNAMES"]
    assert any(str(invite["invite_id"]) in line and HOST in line for line in lines)


def test_status_tells_what_the_hub_knows(hub: CommandedHub, invite: dict[str, object]) -> None:
    known = hub.json_of("status")
    displayed = hub.run("status").stdout

    assert known["status"] == "ok"
    assert known["tenants_active"] > 0
    assert f"{hub.url} is up" in displayed


def test_status_without_the_operator_key_tells_only_that_the_hub_is_up(
    hub: CommandedHub, tmp_path: Path
) -> None:
    result = hub.run("status", TOWONEL_DATA_DIR=str(tmp_path))

    assert result.exit_code == 0
    assert "With a key" in result.stdout


NO_AUTHORITIES = {"SSL_CERT_FILE": "/nowhere/ca.pem"}
REFUSED: list[tuple[list[str], dict[str, str], int, str]] = [
    (["invite", "create", "--hostnames", HOST], {}, 1, "hostname_conflict"),
    (["invite", "revoke", "--id", "A" * 22], {}, 1, "not_found"),
    (["invite", "revoke", "--id", "../x"], {}, 1, "invalid_request"),
    (["invite", "list"], {"TOWONEL_OPERATOR_KEY": "wrong"}, 1, "unauthorized"),
    (["invite", "list", "--hub-url", "http://127.0.0.1:1"], {}, 75, "hub_unavailable"),
    (["status", "--hub-url", "http://127.0.0.1:1"], {}, 75, "hub_unavailable"),
    (["invite", "list", "--hub-url", "http://hub.example.eu"], {}, 2, "usage"),
    (["invite", "create", "--hostnames", "localhost"], {}, 2, "usage"),
    (["invite", "create", "--hostnames", " , "], {}, 2, "usage"),
    (["invite", "create", "--hostnames", HOST, "--expires", "soon"], {}, 2, "usage"),
    (["invite", "create", "--hostnames", HOST, "--expires", "31d"], {}, 2, "usage"),
    (["invite", "create", "--hostnames", HOST, "--name", "n" * 101], {}, 2, "usage"),
    (["edge-invite", "create", "--name", "n" * 101], {}, 2, "usage"),
    (["invite", "list"], {"TOWONEL_DATA_DIR": "/nowhere"}, 78, "bad_configuration"),
    (["invite", "list"], {"TOWONEL_HUB_URL": "nonsense"}, 78, "bad_configuration"),
    (["status"], {"TOWONEL_HUB_LISTEN_ADDR": "nonsense"}, 78, "bad_configuration"),
    (["status", "--hub-url", "https://127.0.0.1:1"], NO_AUTHORITIES, 78, "bad_configuration"),
    (["login", "https://127.0.0.1:1", "--key-file", "-"], NO_AUTHORITIES, 78, "bad_configuration"),
    (
        ["serve"],
        {"TOWONEL_HUB_ENABLED": "false", "TOWONEL_EDGE_ENABLED": "false"},
        78,
        "bad_configuration",
    ),
]


@pytest.mark.parametrize(("arguments", "environ", "exit_code", "code"), REFUSED)
def test_a_mistake_gets_its_exit_code_and_one_line(
    hub: CommandedHub,
    invite: dict[str, object],
    arguments: list[str],
    environ: dict[str, str],
    exit_code: int,
    code: str,
) -> None:
    reported = hub.run(*arguments, **environ)
    for_programs = hub.run(*arguments, "--json", **environ)

    assert reported.exit_code == for_programs.exit_code == exit_code
    assert reported.stderr.startswith(f"towonel: {code}: ")
    assert reported.stdout == for_programs.stdout == ""
    assert json.loads(for_programs.stderr)["error"]["code"] == code


def test_authorities_are_not_read_for_a_hub_without_tls(hub: CommandedHub) -> None:
    assert hub.run("status", **NO_AUTHORITIES).exit_code == 0


MISSING = "/nowhere/file"
UNREADABLE = [
    ("--passphrase-file", ["tenant", "export-key", "--key-path", "{key}"]),
    ("--passphrase-file", ["tenant", "import-key", "--backup", "x", "--key-path", "{new}"]),
    ("--backup-file", ["tenant", "import-key", "--key-path", "{new}"]),
    ("--key-path", ["tenant", "export-key", "--passphrase-file", "{key}"]),
    ("--key-path", ["tenant", "leave"]),
    ("--key-file", ["login", "http://127.0.0.1:1"]),
]


@pytest.mark.parametrize(("flag", "arguments"), UNREADABLE)
def test_a_file_that_a_flag_names_and_nobody_can_read_is_a_usage_error(
    hub: CommandedHub, tmp_path: Path, flag: str, arguments: list[str]
) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    words = {"key": str(key), "new": str(tmp_path / "new")}
    reported = hub.run(*(text.format(**words) for text in arguments), flag, MISSING)

    assert reported.exit_code == 2
    assert reported.stderr.startswith(f"towonel: usage: {flag}: {MISSING}: ")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["invite", "create"], ["invite", "revoke"], ["demo", "--port-base", "80"]],
)
def test_an_unknown_or_lacking_flag_is_a_usage_error(
    hub: CommandedHub, arguments: list[str]
) -> None:
    result = hub.run(*arguments)

    assert result.exit_code == 2
    assert "Usage" in result.output


@pytest.mark.parametrize(
    "command",
    ["", "serve", "demo", "status"]
    + [
        f"{kind} {verb}"
        for kind in ("invite", "edge-invite")
        for verb in ("create", "list", "revoke")
    ],
)
def test_every_command_explains_itself_with_an_example(hub: CommandedHub, command: str) -> None:
    result = hub.run(*command.split(), "--help")

    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert "towonel " in result.stdout.partition("Examples:")[2]
    assert "--json" in result.stdout


def test_the_command_runs_as_a_module_and_knows_its_version() -> None:
    command = (sys.executable, "-m", "towonel.cli", "--version")
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout.strip().count(".") == 2
