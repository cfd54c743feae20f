"""Encoder of the original's route table: it writes the original's bytes, whose keys may be maps."""

from collections.abc import Mapping
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.ops import EntryTlsMode, read_tls_mode
from towonel.wire.legacy.route_table import LegacyService, LegacyTable, encode_table
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


def decode(data: bytes) -> LegacyTable:
    """Read a table as the original's edges do."""
    root = cbor2.loads(data)
    modes = root.get("tls_policies", {"policies": {}})["policies"]
    return LegacyTable(
        {name: tuple(agents) for name, agents in root["routes"].items()},
        {name: read_tls_mode(mode) for name, mode in modes.items()},
        {service_of(key): tuple(agents) for key, agents in root.get("tcp_routes", {}).items()},
        {port: service_of(value) for port, value in root.get("tcp_listeners", {}).items()},
        {service_of(key): tuple(agents) for key, agents in root.get("udp_routes", {}).items()},
        {port: service_of(value) for port, value in root.get("udp_listeners", {}).items()},
    )


def service_of(fields: Mapping[str, Any]) -> LegacyService:
    return LegacyService(TenantId(fields["tenant"]), fields["service"])


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_bytes_of_the_original(name: str) -> None:
    data = bytes.fromhex(VECTORS[name])

    assert encode_table(TABLES[name]) == data
    assert decode(data) == TABLES[name]


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
    assert decode(encode_table(table)) == table


def test_the_same_table_gives_the_same_bytes() -> None:
    one = LegacyTable({"a.eu": (A,), "b.eu": (B,)}, tcp_listeners={1: SSH, 2: DB})
    same = LegacyTable({"b.eu": (B,), "a.eu": (A,)}, tcp_listeners={2: DB, 1: SSH})

    assert encode_table(one) == encode_table(same)
