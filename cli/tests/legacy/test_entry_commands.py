"""Signed entries on the command line, against a real hub."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.commands import CommandedHub
from support.hub import new_key

from towonel.wire.tokens import InviteToken


def new_agent_id() -> str:
    return new_key().public.hex()


@dataclass(frozen=True)
class Tenant:
    hub: CommandedHub
    invite_id: str
    tenant_id: str
    key_path: str
    agent_id: str = field(default_factory=new_agent_id)

    def submit(self, op: str) -> str:
        line = f"entry submit --key-path {self.key_path} --op {op}"
        return self.hub.stdout_of(*line.split())

    def entries(self) -> list[dict[str, object]]:
        found = self.hub.json_of("entry", "list", "--key-path", self.key_path)["entries"]
        assert isinstance(found, list)
        return found


@pytest.fixture
def tenant(hub: CommandedHub, tmp_path: Path) -> Iterator[Tenant]:
    made = hub.json_of("invite", "create", "--hostnames", "entry.example.eu,*.entry.example.eu")
    path = tmp_path / "tenant.key"
    path.write_bytes(InviteToken.decode(made["token"]).seed)
    path.chmod(0o600)
    yield Tenant(hub, made["invite_id"], made["tenant_id"], str(path))
    hub.run("invite", "revoke", "--id", made["invite_id"])


def test_every_op_is_signed_sent_and_listed(tenant: Tenant) -> None:
    said = [
        tenant.submit("upsert-hostname --hostname A.entry.example.eu"),
        tenant.submit("set-hostname-tls --hostname a.entry.example.eu --mode terminate"),
        tenant.submit("upsert-tcp-service --service ssh --listen-port 41022"),
        tenant.submit("upsert-udp-service --service dns --listen-port 41053"),
        tenant.submit(f"upsert-agent --agent-id {tenant.agent_id}"),
    ]
    found = [{**item, "timestamp_ms": 0} for item in tenant.entries()]

    assert said[0] == "entry 1: upsert-hostname a.entry.example.eu\n"
    assert found[1:] == [
        {"sequence": 2, "timestamp_ms": 0, "op": "set-hostname-tls"}
        | {"hostname": "a.entry.example.eu", "mode": "terminate"},
        {"sequence": 3, "timestamp_ms": 0, "op": "upsert-tcp-service"}
        | {"service": "ssh", "listen_port": 41_022},
        {"sequence": 4, "timestamp_ms": 0, "op": "upsert-udp-service"}
        | {"service": "dns", "listen_port": 41_053},
        {"sequence": 5, "timestamp_ms": 0, "op": "upsert-agent", "agent_id": tenant.agent_id},
    ]


def test_what_is_published_is_taken_back_one_by_one(tenant: Tenant) -> None:
    tenant.submit("upsert-tcp-service --service ssh --listen-port 41122")
    tenant.submit("upsert-udp-service --service dns --listen-port 41153")
    tenant.submit("delete-udp-service --service dns")
    tenant.submit("delete-tcp-service --service ssh")

    # The newest stays whatever it says: the next sequence is read from the log's end.
    assert [item["op"] for item in tenant.entries()] == ["delete-tcp-service"]
    assert tenant.submit("upsert-hostname --hostname entry.example.eu").startswith("entry 5:")


def test_an_operator_reads_any_log_with_the_key(tenant: Tenant) -> None:
    tenant.submit("upsert-hostname --hostname entry.example.eu")
    listed = tenant.hub.stdout_of("entry", "list", "--tenant-id", tenant.tenant_id.upper())

    assert listed.splitlines()[0].split() == ["SEQUENCE", "SIGNED", "OP", "WHAT"]
    assert listed.splitlines()[1].split()[-2:] == ["upsert-hostname", "entry.example.eu"]


def test_an_empty_log_is_a_sentence(tenant: Tenant) -> None:
    assert tenant.hub.stdout_of("entry", "list", "--key-path", tenant.key_path) == (
        "There is no entry yet.\n"
    )


def test_who_leaves_says_first_what_goes_and_is_done_then(tenant: Tenant) -> None:
    tenant.submit("upsert-hostname --hostname entry.example.eu")
    tenant.submit("upsert-tcp-service --service ssh --listen-port 41222")
    tenant.submit(f"upsert-agent --agent-id {tenant.agent_id}")
    left = tenant.hub.stdout_of("tenant", "leave", "--key-path", tenant.key_path)
    again = tenant.hub.stdout_of("tenant", "leave", "--key-path", tenant.key_path)

    ops = [
        "delete-hostname entry.example.eu",
        "delete-tcp-service ssh",
        f"revoke-agent {tenant.agent_id}",
    ]
    assert left.splitlines() == [
        f"tenant {tenant.tenant_id} leaves {tenant.hub.url}:",
        *(f"  {op}" for op in ops),
        *(f"done {op}" for op in ops),
    ]
    assert again == "There is nothing to take back.\n"
    routes = tenant.hub.stdout_of("entry", "list", "--tenant-id", tenant.tenant_id)
    assert "upsert" not in routes


def test_a_name_that_was_taken_away_keeps_nobody_from_leaving(tenant: Tenant) -> None:
    tenant.submit("upsert-hostname --hostname entry.example.eu")
    tenant.submit("upsert-hostname --hostname b.entry.example.eu")
    taken = ("--remove-hostname", "*.entry.example.eu")
    tenant.hub.stdout_of("invite", "edit", "--id", tenant.invite_id, *taken)
    lines = tenant.hub.stdout_of("tenant", "leave", "--key-path", tenant.key_path, "--json")
    plan, *steps = map(json.loads, lines.splitlines())

    assert [op["hostname"] for op in plan["planned"]] == [
        "entry.example.eu",
        "b.entry.example.eu",
    ]
    assert steps == [
        {"op": "delete-hostname", "hostname": "entry.example.eu", "sequence": 3},
        {"op": "delete-hostname", "hostname": "b.entry.example.eu"}
        | {"skipped": "hostname_not_owned"},
    ]


REFUSED: list[tuple[str, int, str]] = [
    ("entry submit --op upsert-hostname --hostname evil.eu", 1, "hostname_not_owned"),
    ("entry submit --op upsert-tcp-service --service s --listen-port 22", 1, "invalid_request"),
    ("entry submit --op upsert-hostname", 2, "usage"),
    ("entry submit --op upsert-hostname --hostname a.eu --mode terminate", 2, "usage"),
    ("entry list --tenant-id abc", 2, "usage"),
]


@pytest.mark.parametrize(("line", "exit_code", "code"), REFUSED)
def test_what_may_not_be_submitted_is_refused_in_one_line(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, line: str, exit_code: int, code: str
) -> None:
    monkeypatch.chdir(Path(tenant.key_path).parent)
    result = tenant.hub.run(*line.split())

    assert result.exit_code == exit_code
    assert result.stderr.startswith(f"towonel: {code}: ")
    assert result.stderr.count("\n") == 1
    assert tenant.entries() == []


@pytest.mark.parametrize("line", ["entry submit --op nonsense", "entry submit --hostname a.eu"])
def test_an_op_that_there_is_not_is_a_usage_error(hub: CommandedHub, line: str) -> None:
    result = hub.run(*line.split())

    assert result.exit_code == 2
    assert "Usage" in result.output


def test_a_log_is_read_by_its_tenant_or_by_the_operator_not_by_both(tenant: Tenant) -> None:
    both = ("--key-path", tenant.key_path, "--tenant-id", tenant.tenant_id)
    result = tenant.hub.run("entry", "list", *both)

    assert result.exit_code == 2
    assert "without --key-path" in result.stderr


def test_a_key_that_the_hub_does_not_know_may_do_nothing(hub: CommandedHub, tmp_path: Path) -> None:
    path = str(tmp_path / "new.key")
    hub.stdout_of("tenant", "init", "--key-path", path)
    name = ("--hostname", "entry.example.eu")
    result = hub.run("entry", "submit", "--key-path", path, "--op", "upsert-hostname", *name)

    assert result.exit_code == 1
    assert result.stderr == "towonel: tenant_not_allowed: this hub has no such tenant\n"
