"""Entries as flags spell them: each op takes its own flags, and no other."""

import pytest

from towonel.cli.errors import UsageError
from towonel.cli.legacy.op_syntax import OpFlags, OpName, format_op, op_to_json, parse_op
from towonel.wire.ids import AgentId
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    Op,
    RevokeAgent,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)
from towonel.wire.routes import TlsMode

HOST, AGENT = "app.example.eu", AgentId(b"\xab" * 32)

CASES: list[tuple[str, OpFlags, Op, str]] = [
    ("upsert-hostname", OpFlags(hostname="App.example.EU"), UpsertHostname(HOST), HOST),
    ("delete-hostname", OpFlags(hostname="*.example.eu"), DeleteHostname("*.example.eu"), "*.ex"),
    (
        "set-hostname-tls",
        OpFlags(hostname=HOST, mode="terminate"),
        SetHostnameTls(HOST, TlsMode.TERMINATE),
        f"{HOST} terminate",
    ),
    ("upsert-agent", OpFlags(agent_id="AB" * 32), UpsertAgent(AGENT), "ab" * 32),
    ("revoke-agent", OpFlags(agent_id="ab" * 32), RevokeAgent(AGENT), "ab" * 32),
    (
        "upsert-tcp-service",
        OpFlags(service="ssh", listen_port=22),
        UpsertTcpService("ssh", 22),
        "ssh 22",
    ),
    ("delete-tcp-service", OpFlags(service="ssh"), DeleteTcpService("ssh"), "ssh"),
    (
        "upsert-udp-service",
        OpFlags(service="dns", listen_port=53),
        UpsertUdpService("dns", 53),
        "dns 53",
    ),
    ("delete-udp-service", OpFlags(service="dns"), DeleteUdpService("dns"), "dns"),
]


@pytest.mark.parametrize(("name", "flags", "op", "about"), CASES)
def test_an_op_is_spelled_the_same_both_ways(name: str, flags: OpFlags, op: Op, about: str) -> None:
    assert parse_op(OpName(name), flags) == op
    assert format_op(op).startswith(f"{name} {about}")
    assert op_to_json(op)["op"] == name


def test_every_op_has_a_case() -> None:
    assert [name for name, *_ in CASES] == list(OpName)


def test_programs_get_the_fields_by_their_flags_names() -> None:
    op = SetHostnameTls(HOST, TlsMode.PASSTHROUGH)

    assert op_to_json(op) == {
        "op": "set-hostname-tls",
        "hostname": HOST,
        "mode": "passthrough",
    }
    assert op_to_json(UpsertAgent(AGENT))["agent_id"] == "ab" * 32


@pytest.mark.parametrize(
    ("name", "flags", "reported"),
    [
        ("upsert-hostname", OpFlags(), "--hostname: is needed for upsert-hostname"),
        ("set-hostname-tls", OpFlags(hostname=HOST), "--mode: is needed for set-hostname-tls"),
        ("upsert-udp-service", OpFlags(service="x"), "--listen-port: is needed for"),
        ("upsert-tcp-service", OpFlags(listen_port=1), "--service: is needed for"),
        ("revoke-agent", OpFlags(), "--agent-id: is needed for revoke-agent"),
        (
            "delete-hostname",
            OpFlags(hostname=HOST, mode="terminate"),
            "--mode: means nothing for delete-hostname",
        ),
        (
            "delete-tcp-service",
            OpFlags(service="x", listen_port=1),
            "--listen-port: means nothing for",
        ),
        ("upsert-hostname", OpFlags(hostname="localhost"), "--hostname: .* two labels"),
        ("upsert-agent", OpFlags(agent_id="abc"), "--agent-id: is 64 hexadecimal digits"),
        ("upsert-agent", OpFlags(agent_id="g" * 64), "--agent-id: is 64 hexadecimal digits"),
        ("upsert-tcp-service", OpFlags(service="", listen_port=1), "--service: .* not be empty"),
        ("delete-udp-service", OpFlags(service="a\x1b"), "--service: .* control"),
    ],
)
def test_a_flag_that_is_missing_too_many_or_wrong_is_named(
    name: str, flags: OpFlags, reported: str
) -> None:
    with pytest.raises(UsageError, match=reported):
        parse_op(OpName(name), flags)
