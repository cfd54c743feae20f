"""Every command line of the original (inventory §1.8) does here what it did there."""

import base64
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from support.commands import CommandedHub, towonel
from typer.core import TyperGroup
from typer.testing import Result

from towonel.cli.app import app
from towonel.identity.keys import TenantKey
from towonel.wire.tokens import InviteToken

HEX = r"[0-9a-f]{64}"


class Original:
    """A folder in which somebody types the original's commands."""

    def __init__(self, hub: CommandedHub) -> None:
        self.hub = hub
        self.names = {"url": hub.url, "key": hub.key}

    def __call__(self, line: str, **names: str) -> str:
        result = self.typed(line, **names)
        assert result.exit_code == 0, result.output
        return result.stdout

    def typed(self, line: str, **names: str) -> Result:
        program, *arguments = shlex.split(line.format(**self.names | names))
        assert program == "towonel"
        return self.hub.run(*arguments)


@pytest.fixture
def original(hub: CommandedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Original:
    monkeypatch.chdir(tmp_path)
    return Original(hub)


def token_of(reported: str) -> InviteToken:
    """The token, which is the last line and nothing else."""
    return InviteToken.decode(reported.splitlines()[-1])


@pytest.mark.parametrize(
    ("expires", "end"),
    [
        ("--expires 48h", r"20\d\d-"),
        ("--expires 7d", r"20\d\d-"),
        ("--expires never", "never"),
        ("--expires 0", "never"),
        ("--expires ''", "never"),
        ("", "never"),
    ],
)
def test_an_invite_is_made_listed_and_revoked(original: Original, expires: str, end: str) -> None:
    reported = original(
        "towonel invite create --hub-url {url} --api-key {key} --name home"
        f" --hostnames parity-a.example.eu,parity-b.example.eu {expires}"
    )
    listed = original("towonel invite list")
    [invite_id] = re.findall(r"^invite +(\S{22})$", reported, re.MULTILINE)
    original("towonel invite revoke --id {id}", id=invite_id)

    tenant = TenantKey.from_seed(token_of(reported).seed).tenant_id.hex()
    assert re.search(f"^tenant +{tenant}$", reported, re.MULTILINE)
    assert re.search(
        "^hostnames +parity-a.example.eu, parity-b.example.eu$", reported, re.MULTILINE
    )
    assert re.search(f"^expires +{end}", reported, re.MULTILINE)
    assert listed.split()[:3] == ["ID", "NAME", "STATUS"]
    assert re.search(f"^{invite_id} +home +pending ", listed, re.MULTILINE)
    assert re.search(f"^{invite_id} +home +revoked ", original("towonel invite list"), re.MULTILINE)


def test_an_edge_invite_is_made_listed_and_revoked(original: Original) -> None:
    reported = original("towonel edge-invite create --name frankfurt")
    [invite_id] = re.findall(r"^invite +(\S{22})$", reported, re.MULTILINE)
    listed = original("towonel edge-invite list")
    original("towonel edge-invite revoke --id {id}", id=invite_id)

    assert re.search(r"^TOWONEL_EDGE_INVITE_TOKEN=tt_edge_2_\S+$", reported, re.MULTILINE)
    assert listed.split()[:3] == ["ID", "NAME", "STATUS"]
    assert re.search(f"^{invite_id} +frankfurt +pending ", listed, re.MULTILINE)
    again = original("towonel edge-invite list")
    assert re.search(f"^{invite_id} +frankfurt +revoked ", again, re.MULTILINE)


@pytest.mark.parametrize("where", ["", " --key-path tenant.key", " --key-path other.key"])
def test_a_tenant_makes_its_key_once(original: Original, tmp_path: Path, where: str) -> None:
    reported = original(f"towonel tenant init{where}")
    again = original.typed(f"towonel tenant init{where}")

    [path] = tmp_path.iterdir()
    key = TenantKey.from_seed(path.read_bytes())
    assert path.name == (where.split() or ["tenant.key"])[-1]
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.search(f"^tenant +{key.tenant_id.hex()}$", reported, re.MULTILINE)
    assert base64.urlsafe_b64decode(reported.splitlines()[-1] + "=") == key.public
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert key.tenant_id == TenantKey.from_seed(path.read_bytes()).tenant_id


def test_a_tenant_publishes_and_leaves(original: Original, tmp_path: Path) -> None:
    token = token_of(original("towonel invite create --hostnames parity.example.eu"))
    (tmp_path / "tenant.key").write_bytes(token.seed)
    (tmp_path / "tenant.key").chmod(0o600)
    [agent_id] = re.findall(HEX, original("towonel agent init"))
    submit = "towonel entry submit --key-path tenant.key --op"
    said = [
        original(f"{submit} upsert-hostname --hostname parity.example.eu"),
        original(f"{submit} upsert-agent --agent-id {agent_id}"),
        original(f"{submit} revoke-agent --agent-id {agent_id}"),
        original(f"{submit} delete-hostname --hostname parity.example.eu"),
        original(f"{submit} upsert-hostname --hostname parity.example.eu"),
    ]
    listed = original("towonel entry list --key-path tenant.key").splitlines()
    left = original("towonel tenant leave --key-path tenant.key --hub-url {url}")

    assert [line.split(":")[0] for line in said] == [f"entry {n}" for n in range(1, 6)]
    assert (tmp_path / "agent.key").stat().st_size == 32
    assert listed[1].split()[0] == "5"
    assert listed[1].split()[-2:] == ["upsert-hostname", "parity.example.eu"]
    assert "delete-hostname parity.example.eu" in left
    assert "nothing to take back" in original("towonel tenant leave --key-path tenant.key")


def test_a_tenants_key_is_brought_back_from_its_backup(original: Original, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("correct horse\n")
    original("towonel tenant init")
    backup = original("towonel tenant export-key --passphrase-file passphrase").strip()
    restore = "towonel tenant import-key --backup {backup} --passphrase-file passphrase"
    over = original.typed(restore, backup=backup)
    original(f"{restore} --key-path back.key", backup=backup)

    assert re.fullmatch(r"towonel-key-v1:[A-Za-z0-9_-]{102}", backup)
    assert over.exit_code == 2
    assert (tmp_path / "back.key").read_bytes() == (tmp_path / "tenant.key").read_bytes()
    assert (tmp_path / "back.key").stat().st_mode & 0o777 == 0o600


def lines_of(command: TyperGroup, before: str) -> Iterator[str]:
    displayed = {name: part for name, part in command.commands.items() if not part.hidden}
    for name, part in displayed.items():
        line = f"{before} {name}".strip()
        yield from lines_of(part, line) if isinstance(part, TyperGroup) else [line]


def test_every_command_explains_itself_with_an_example_that_names_it() -> None:
    # `towonel hub` becomes the hub's own program, which here would take the place of the tests.
    lines = [line for line in lines_of(typer.main.get_group(app), "") if line != "hub"]
    helps = {line: towonel(*line.split(), "--help").stdout for line in lines}

    assert len(lines) > 25
    assert [
        line for line in lines if f"towonel {line}" not in helps[line].rpartition("Examples:")[2]
    ] == []
    assert [line for line in lines if "--json" not in helps[line]] == []
