"""Codec of ops: the original's forms, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import AgentId
from towonel.wire.legacy import ops
from towonel.wire.legacy.ops import Op, read_op, read_tls_mode, write_op, write_tls_mode
from towonel.wire.routes import TlsMode

AGENT = AgentId(bytes(range(32)))
FORMS: list[tuple[Op, object]] = [
    (ops.UpsertHostname("a.eu"), {"upsert_hostname": {"hostname": "a.eu"}}),
    (ops.DeleteHostname("*.a.eu"), {"delete_hostname": {"hostname": "*.a.eu"}}),
    (ops.UpsertAgent(AGENT), {"upsert_agent": {"agent_id": AGENT}}),
    (ops.RevokeAgent(AGENT), {"revoke_agent": {"agent_id": AGENT}}),
    (
        ops.SetHostnameTls("a.eu", TlsMode.TERMINATE),
        {"set_hostname_tls": {"hostname": "a.eu", "mode": {"mode": "terminate"}}},
    ),
    (
        ops.UpsertTcpService("ssh", 2222),
        {"upsert_tcp_service": {"service": "ssh", "listen_port": 2222}},
    ),
    (ops.DeleteTcpService("ssh"), {"delete_tcp_service": {"service": "ssh"}}),
    (
        ops.UpsertUdpService("game", 65535),
        {"upsert_udp_service": {"service": "game", "listen_port": 65535}},
    ),
    (ops.DeleteUdpService("game"), {"delete_udp_service": {"service": "game"}}),
]


@pytest.mark.parametrize(("op", "form"), FORMS)
def test_an_op_is_a_map_of_one_key_that_names_it(op: Op, form: object) -> None:
    assert write_op(op) == form
    assert read_op(form) == op


def test_ops_of_one_form_are_not_the_same() -> None:
    upsert, delete = ops.UpsertAgent(AGENT), ops.RevokeAgent(AGENT)

    assert len({upsert, delete, *(op for op, _ in FORMS)}) == len(FORMS)


def test_unknown_fields_are_ignored() -> None:
    form = {"upsert_hostname": {"hostname": "a.eu", "weight": 1}}

    assert read_op(form) == ops.UpsertHostname("a.eu")


@pytest.mark.parametrize("name", ["", "A.EU", "a_b", "x" * 300])
def test_names_are_taken_as_they_are(name: str) -> None:
    assert read_op({"upsert_hostname": {"hostname": name}}) == ops.UpsertHostname(name)


@pytest.mark.parametrize(
    "form",
    [
        None, [], {}, "upsert_hostname", {"upsert_hostname": None}, {"upsert_hostname": {}},
        {"explode": {}}, {b"upsert_hostname": {"hostname": "a.eu"}},
        {"upsert_hostname": {"hostname": "a.eu"}, "delete_hostname": {"hostname": "a.eu"}},
        {"upsert_hostname": {"hostname": b"a.eu"}},
        {"upsert_hostname": {"hostname": "x" * 16_385}},
        {"upsert_agent": {"agent_id": bytes(31)}}, {"revoke_agent": {"agent_id": "00" * 32}},
        {"upsert_tcp_service": {"service": "ssh"}},
        {"upsert_tcp_service": {"service": "ssh", "listen_port": 65_536}},
        {"upsert_udp_service": {"service": "ssh", "listen_port": -1}},
        {"upsert_udp_service": {"service": "ssh", "listen_port": True}},
        {"delete_tcp_service": {"service": 1}},
        {"set_hostname_tls": {"hostname": "a.eu"}},
        {"set_hostname_tls": {"mode": {"mode": "terminate"}}},
        {"set_hostname_tls": {"hostname": "a.eu", "mode": "terminate"}},
    ],
)  # fmt: skip
def test_everything_else_is_refused(form: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_op(form)

    assert caught.value.code is Code.MALFORMED


def test_tls_modes_are_the_two_that_the_original_knows() -> None:
    assert write_tls_mode(TlsMode.PASSTHROUGH) == {"mode": "passthrough"}
    assert read_tls_mode({"mode": "passthrough"}) is TlsMode.PASSTHROUGH
    assert read_tls_mode({"mode": "terminate"}) is TlsMode.TERMINATE
    with pytest.raises(ProtocolError, match="'agent' must be passthrough or terminate"):
        read_tls_mode({"mode": "agent"})


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 65_535))
def test_what_is_written_is_read_as_the_same(service: str, port: int) -> None:
    op = ops.UpsertTcpService(service, port)

    assert read_op(write_op(op)) == op
