"""Route table on an index: it decides as a table of plain dictionaries does, whenever an index comes."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.route_index import SEED_BYTES, RouteIndex
from towonel.edge.core.route_index_writer import make_empty_index, plan_index, write_index
from towonel.edge.core.route_table import FEW_ROUTES, RouteTable, TableChange
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.routes import Route, RouteDelta, TlsMode

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
LABELS = ("a", "b", "*")
NAMES = [f"{label}.{rest}" for label in LABELS for rest in ("example.eu", "a.example.eu")]
ASKED = [Hostname(name) for name in (*NAMES, "c.example.eu", "c.b.example.eu", "example.eu")]


class PlainTable:
    """Table of plain dictionaries: the oracle."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.blocked: set[TenantId] = set()

    def apply(self, delta: RouteDelta) -> TableChange:
        before, was_blocked = dict(self.routes), set(self.blocked)
        if delta.snapshot:
            self.routes.clear()
            self.blocked.clear()
        for key in delta.removed:
            self.routes.pop(key, None)
        self.routes.update({route.key: route for route in delta.routes})
        self.blocked = self.blocked.difference(delta.unblocked) | set(delta.blocked)
        return TableChange(
            frozenset(
                key
                for key in before.keys() | self.routes.keys()
                if before.get(key) != self.routes.get(key)
            ),
            frozenset(self.blocked - was_blocked),
            frozenset(was_blocked - self.blocked),
        )

    def lookup(self, name: Hostname) -> Route | None:
        route = self.routes.get(f"https:{name}") or self.routes.get(f"https:{wildcard_of(name)}")
        return None if route is None or route.tenant_id in self.blocked else route


def write(before: RouteIndex | None, changes: Mapping[str, Route | None]) -> RouteIndex:
    before = before or make_empty_index(bytes(SEED_BYTES))
    plan = plan_index(before, changes.items)
    memory = memoryview(bytearray(plan.size))
    return RouteIndex(memory[: write_index(memory, plan, before, changes.items, lambda: None)])


class Indexing:
    """Writing of a table's index, while the table changes."""

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self.written: RouteIndex | None = None

    def step(self, step: str) -> None:
        layers = self.table.layers
        match step:
            case "begin" if self.written is None:
                self.written = write(layers.index, layers.freeze())
            case "settle" if self.written is not None:
                layers.settle(self.written)
                self.written = None
            case "replace":
                self.table.replace(write(layers.index, layers.changes()))
                self.written = None
            case _:
                pass


https = st.builds(
    Route,
    st.just(ServiceKind.HTTPS),
    st.sampled_from(NAMES),
    st.sampled_from([ALICE, BOB]),
    tls_mode=st.sampled_from(TlsMode),
    http2=st.booleans(),
)
tcp = st.builds(
    Route,
    st.just(ServiceKind.TCP),
    st.sampled_from(NAMES),
    st.sampled_from([ALICE, BOB]),
    port=st.sampled_from([1, 2]),
)
tenants = st.lists(st.sampled_from([ALICE, BOB])).map(tuple)
keys = [*(f"https:{name}" for name in NAMES), "tcp:1", "tcp:2", "tcp:3"]
deltas = st.builds(
    RouteDelta,
    st.integers(0, 2**40),
    st.booleans(),
    st.lists(https | tcp).map(tuple),
    st.lists(st.sampled_from(keys)).map(tuple),
    tenants,
    tenants,
)
steps = st.sampled_from(["begin", "settle", "replace"])


@given(st.lists(deltas | steps))
def test_a_table_decides_as_a_plain_one_whenever_an_index_comes(
    history: list[RouteDelta | str],
) -> None:
    table, plain = RouteTable(), PlainTable()
    indexing = Indexing(table)
    for each in history:
        if isinstance(each, str):
            indexing.step(each)
        else:
            assert table.copy().apply(each) == table.apply(each) == plain.apply(each)
        assert [table.lookup(name) for name in ASKED] == [plain.lookup(name) for name in ASKED]
        assert {route.key: route for route in table.snapshot().routes} == plain.routes
        assert table.snapshot().blocked == tuple(sorted(plain.blocked))
        assert len(table) == len(plain.routes)


def test_an_index_that_replaces_all_counts_as_a_change() -> None:
    table = RouteTable()
    before = table.changes
    table.replace(make_empty_index(bytes(SEED_BYTES)))

    assert table.changes != before


def test_a_snapshot_is_much_work_for_a_large_table_only() -> None:
    routes = tuple(Route(ServiceKind.TCP, "x", ALICE, port=port) for port in range(FEW_ROUTES + 1))
    few, snapshot = RouteDelta(1, snapshot=False), RouteDelta(1, snapshot=True)
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=routes[1:]))
    assert table.is_small(snapshot)
    table.apply(RouteDelta(1, snapshot=False, routes=routes[:1]))

    assert not table.is_small(snapshot)
    assert table.is_small(few)
    assert not table.is_small(RouteDelta(1, snapshot=False, routes=routes))
    assert not table.is_small(
        RouteDelta(1, snapshot=False, removed=tuple(route.key for route in routes))
    )
