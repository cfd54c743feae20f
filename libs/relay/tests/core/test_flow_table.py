"""Table of flows, the least lately used of which goes for a new one."""

from collections import Counter
from dataclasses import dataclass
from random import Random

from towonel.relay.core.flow_table import FlowTable


@dataclass(eq=False)
class SomeFlow:
    """Flow."""

    owner: bytes = b"one"
    used_at: float = 0.0
    idle_s: float = 60.0


def test_the_least_lately_used_goes_for_one_too_many() -> None:
    table = FlowTable[str, SomeFlow](2)
    one, two, three = SomeFlow(), SomeFlow(), SomeFlow()
    assert table.add("one", one) is None
    assert table.add("two", two) is None
    table.use("one", one, 5.0)

    assert table.add("three", three) is two

    assert (table.find("one"), table.find("two"), len(table)) == (one, None, 2)
    assert list(table) == [one, three]
    assert one.used_at == 5.0


def test_flows_that_carry_nothing_for_their_time_are_found() -> None:
    table = FlowTable[str, SomeFlow](3)
    short, long, busy = SomeFlow(idle_s=10), SomeFlow(idle_s=100), SomeFlow(idle_s=10)
    for name, flow in (("short", short), ("long", long), ("busy", busy)):
        table.add(name, flow)
    table.use("busy", busy, 5.0)

    assert table.find_idle(9.0) == []
    assert table.find_idle(10.0) == [short]
    assert table.remove("short") is short
    assert table.remove("short") is None


def fill(table: FlowTable[int, SomeFlow], *owners: bytes) -> list[SomeFlow]:
    """Add a flow of each of these owners; return them."""
    flows = [SomeFlow(owner) for owner in owners]
    for flow in flows:
        table.add(id(flow), flow)
    return flows


def test_the_owner_with_the_most_flows_loses_its_oldest_for_another_one() -> None:
    table = FlowTable[int, SomeFlow](4)
    quiet, greedy, later, _ = fill(table, b"quiet", b"greedy", b"greedy", b"greedy")
    table.use(id(greedy), greedy, 5.0)

    new = SomeFlow(b"new")
    assert table.add(id(new), new) is later
    assert table.find(id(quiet)) is quiet


def test_an_owner_with_as_many_as_any_other_loses_its_own() -> None:
    table = FlowTable[int, SomeFlow](4)
    _, _, mine, _ = fill(table, b"other", b"other", b"mine", b"mine")

    new = SomeFlow(b"mine")
    assert table.add(id(new), new) is mine


def test_owners_whose_flows_have_ended_are_not_the_greediest_any_more() -> None:
    table = FlowTable[int, SomeFlow](4)
    first, second, third, fourth = fill(table, b"a", b"a", b"a", b"b")
    for flow in (first, second):
        assert table.remove(id(flow)) is flow
    _, fifth = fill(table, b"b", b"c")

    assert len(table) == 4
    new = SomeFlow(b"a")
    assert table.add(id(new), new) is fourth
    for flow in (third, fifth, new):
        assert table.remove(id(flow)) is flow
    assert [flow.owner for flow in table] == [b"b"]


def test_a_table_that_was_empty_again_takes_flows_as_before() -> None:
    table = FlowTable[int, SomeFlow](1)
    [only] = fill(table, b"a")
    assert table.remove(id(only)) is only
    [next_one] = fill(table, b"b")
    new = SomeFlow(b"c")

    assert table.add(id(new), new) is next_one
    table.use(id(new), new, 1.0)
    assert list(table) == [new]


def test_any_run_of_adding_using_and_removing_keeps_each_owners_order() -> None:
    rng = Random(7)
    table = FlowTable[int, SomeFlow](20)
    model: dict[int, SomeFlow] = {}  # the least lately used first
    for step in range(5000):
        choice = rng.randrange(4)
        if model and choice < 3:
            key = rng.choice(list(model))
            if choice:
                model[key] = flow = model.pop(key)
                table.use(key, flow, float(step))
            else:
                assert table.remove(key) is model.pop(key)
            continue
        flow = SomeFlow(bytes([rng.randrange(6)]))
        evicted = table.add(step, flow)
        assert (evicted is None) == (len(model) < 20)
        if evicted is not None:
            counts = Counter(each.owner for each in model.values())
            assert counts[evicted.owner] == max(counts.values())
            [key, *_] = (key for key, each in model.items() if each.owner == evicted.owner)
            assert model.pop(key) is evicted
        model[step] = flow
    assert set(map(id, table)) == set(map(id, model.values()))
