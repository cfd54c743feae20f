"""Table of flows, the least lately used of which goes for a new one."""

from dataclasses import dataclass

from towonel.relay.core.flow_table import FlowTable


@dataclass(eq=False)
class SomeFlow:
    """Flow."""

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
