"""Access log: what a line says, and how many there may be."""

from towonel.edge.core.access_log import AccessRecord, LineBudget, Way
from towonel.wire.errors import Code


class Clock:
    """Clock that a test sets."""

    now = 5.0

    def __call__(self) -> float:
        return self.now


def test_a_line_counts_all_times_from_the_accept() -> None:
    record = AccessRecord(b"t" * 16, 10.0)
    record.hello_at, record.accepted_at, record.way = 10.25, 10.5, Way.LANE

    line = record.finish(Code.NORMAL, 3, 4, 12.0)

    assert (line.hello_s, line.accept_s, line.total_s) == (0.25, 0.5, 2.0)
    assert (line.bytes_in, line.bytes_out, line.way, line.code) == (3, 4, "lane", Code.NORMAL)


def test_a_line_leaves_out_what_a_connection_did_not_get_to() -> None:
    line = AccessRecord(b"t" * 16, 10.0).finish(Code.NO_SNI, 3, 0, 11.0)

    assert (line.hello_s, line.accept_s, line.agent_id, line.way) == (None, None, None, None)


def test_a_trace_context_is_of_the_version_that_all_read() -> None:
    assert AccessRecord(bytes(range(16)), 0).traceparent == (
        "00-000102030405060708090a0b0c0d0e0f-08090a0b0c0d0e0f-01"
    )


def test_a_budget_is_of_each_second() -> None:
    clock = Clock()
    budget = LineBudget(2, clock)

    assert [budget.take() for _ in range(4)] == [True, True, False, False]
    clock.now = 5.9
    assert not budget.take()
    clock.now = 6.0
    assert [budget.take() for _ in range(3)] == [True, True, False]
