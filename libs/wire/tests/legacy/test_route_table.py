"""The original's route table: its bytes, whose keys may be maps, both ways."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy import route_table
from towonel.wire.legacy.ops import EntryTlsMode
from towonel.wire.legacy.route_table import LegacyService, LegacyTable, decode_table, encode_table
from towonel.wire.routes import TlsMode

VECTORS = vectors.load("legacy_table")
TENANT, OTHER = (
    TenantId(bytes.fromhex(VECTORS[name])) for name in ("tenant_id", "other_tenant_id")
)
A, B = (AgentId(bytes.fromhex(text)) for text in VECTORS["agents"])
SSH, DB, GAME = LegacyService(TENANT, "ssh"), LegacyService(OTHER, "db"), LegacyService(TENANT, "g")
MODES: list[EntryTlsMode] = [TlsMode.PASSTHROUGH, TlsMode.TERMINATE]
TABLES = {
    "empty": LegacyTable(),
    "wildcard": LegacyTable({"*.example.eu": (A,)}),
    "full": LegacyTable(
        routes={"app.example.eu": (A, B), "*.home.example.eu": (A,)},
        tls_modes={"app.example.eu": MODES[0], "*.home.example.eu": MODES[1]},
        tcp_routes={SSH: (A, B), DB: (B,)},
        tcp_listeners={5432: DB, 2222: SSH},
        udp_routes={LegacyService(TENANT, "game"): (A,)},
        udp_listeners={27015: LegacyService(TENANT, "game")},
    ),
}
HOSTNAMES = st.sampled_from(["a.eu", "b.eu", "*.example.eu"])
SERVICES = st.sampled_from([SSH, DB, GAME])
AGENTS = st.lists(st.sampled_from([A, B]), max_size=2).map(tuple)
ROUTES = st.dictionaries(SERVICES, AGENTS)
LISTENERS = st.dictionaries(st.integers(0, 65_535), SERVICES, max_size=4)
SERVICE = {"tenant": TENANT, "service": "ssh"}


def raw(value: object) -> bytes:
    return cbor2.dumps({"routes": {}, **value} if isinstance(value, dict) else value)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_bytes_of_the_original(name: str) -> None:
    data = bytes.fromhex(VECTORS[name])

    assert encode_table(TABLES[name]) == data
    assert decode_table(data) == TABLES[name]


@given(
    st.builds(
        LegacyTable,
        st.dictionaries(HOSTNAMES, AGENTS),
        st.dictionaries(HOSTNAMES, st.sampled_from(MODES)),
        ROUTES,
        LISTENERS,
        ROUTES,
        LISTENERS,
    )
)
def test_what_is_encoded_decodes_to_the_same(table: LegacyTable) -> None:
    assert decode_table(encode_table(table)) == table


def test_the_same_table_gives_the_same_bytes() -> None:
    one = LegacyTable({"a.eu": (A,), "b.eu": (B,)}, tcp_listeners={1: SSH, 2: DB})
    same = LegacyTable({"b.eu": (B,), "a.eu": (A,)}, tcp_listeners={2: DB, 1: SSH})

    assert encode_table(one) == encode_table(same)


@pytest.mark.parametrize(
    "value",
    [
        [], {"routes": []}, {"routes": None}, {"routes": {1: []}}, {"routes": {"a" * 254: []}},
        {"routes": {"a.eu": A}}, {"routes": {"a.eu": [b"short"]}}, {"routes": {"a.eu": [1]}},
        {"routes": {"a.eu": [A] * 1001}},
        {"tls_policies": {}}, {"tls_policies": {"policies": {"a.eu": "terminate"}}},
        {"tls_policies": {"policies": {"a.eu": {"mode": "agent"}}}},
        {"tcp_routes": {"ssh": [A]}}, {"udp_routes": {cbor2.frozendict({"service": "x"}): [A]}},
        {"tcp_routes": {cbor2.frozendict({"tenant": TENANT, "service": "x" * 65}): [A]}},
        {"tcp_listeners": {"1": SERVICE}}, {"tcp_listeners": {65_536: SERVICE}},
        {"udp_listeners": {1: "ssh"}}, {"udp_listeners": {1: {**SERVICE, "tenant": b""}}},
    ],
)  # fmt: skip
def test_other_tables_are_refused(value: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_table(raw(value))

    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("data", ["a1 66726f75746573 bfff", "a2 66726f75746573a0 66726f75746573a0"])
def test_indefinite_lengths_and_double_keys_are_refused(data: str) -> None:
    with pytest.raises(ProtocolError, match="not CBOR"):
        decode_table(bytes.fromhex(data))


def test_bytes_after_the_table_are_refused() -> None:
    with pytest.raises(ProtocolError, match="1 bytes after"):
        decode_table(encode_table(LegacyTable()) + b"\x00")


def test_a_table_above_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_table, "MAX_TABLE_BYTES", 10)

    with pytest.raises(ProtocolError) as caught:
        decode_table(bytes(11))

    assert caught.value.code is Code.TOO_LARGE


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_changed_byte_is_another_table_or_none(at: int, change: int) -> None:
    data = bytearray.fromhex(VECTORS["full"])
    data[at % len(data)] ^= change
    try:
        found = decode_table(bytes(data))
    except ProtocolError:
        return

    assert found != TABLES["full"]


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_table(data)
