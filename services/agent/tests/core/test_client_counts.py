"""Counts of clients: each process sees at once what the others have."""

from towonel.agent.core.client_counts import ClientCounts, count_alone
from towonel.agent.data_plane.client_memory import ClientMemory


def test_each_process_sees_the_clients_of_the_others() -> None:
    rows = [memoryview(bytearray(4)).cast("I") for _ in range(3)]
    control, first, second = (ClientCounts(rows, own) for own in range(3))
    control.put(1)
    first.put(20)
    second.put(300)

    assert (control.elsewhere, first.elsewhere, second.elsewhere) == (320, 301, 21)
    first.put(0)
    assert control.elsewhere == 300


def test_a_process_alone_has_no_others() -> None:
    counts = count_alone()
    counts.put(7)

    assert counts.elsewhere == 0


def test_the_clients_of_a_worker_that_is_gone_count_no_more() -> None:
    memory = ClientMemory(2)
    for number in range(2):
        ClientCounts(memory._rows, 1 + number).put(5 + number)
    memory.clear(0)
    memory.close()

    assert memory.counts.elsewhere == 6
