"""Counts of clients in all workers: limits hold for all of them together."""

import os
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.admission import Admission, AdmissionLimits, Ticket
from towonel.edge.core.shared_clients import SharedClients, plan_columns
from towonel.relay.shared_rows import clear_row, create_rows, map_rows
from towonel.wire.errors import Denied, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
HOME, OFFICE = "192.0.2.1", "192.0.2.2"
APP = ServiceKey(ServiceKind.HTTPS, "app.example.eu")
PLACES: Mapping[ServiceKey | None, int] = {None: 40, APP: 8}


class Workers:
    """Workers that share counts, each with a mapping of its own."""

    def __init__(self, count: int, limits: AdmissionLimits) -> None:
        self.columns = plan_columns(limits.clients, count)
        self.count = count
        self.descriptor = create_rows(count, self.columns.total)
        self.admissions = [Admission(limits, self.map(own)) for own in range(count)]

    def map(self, own: int) -> SharedClients:
        rows = map_rows(self.descriptor, self.count, self.columns.total)
        return SharedClients(rows, own, self.columns.places, b"secret")


@pytest.mark.parametrize("count", [2, 4])
def test_one_client_too_many_in_all_workers_is_refused_by_each(count: int) -> None:
    limits = AdmissionLimits(clients=count, per_source=99, per_tenant=99)
    workers = Workers(count, limits)
    first, *others = [admission.admit() for admission in workers.admissions]

    for admission in workers.admissions:
        with pytest.raises(Unavailable):
            admission.admit()
    workers.admissions[0].release(first)
    workers.admissions[1].admit()
    assert len(others) == count - 1


def test_a_source_has_its_limit_in_all_workers_together() -> None:
    workers = Workers(2, AdmissionLimits(clients=9, per_source=2, per_tenant=9))
    one, two = workers.admissions
    tickets = [one.admit(), two.admit(), two.admit()]
    one.claim_source(tickets[0], HOME)
    two.claim_source(tickets[1], HOME)

    with pytest.raises(Denied):
        two.claim_source(tickets[2], HOME)
    two.claim_source(tickets[2], OFFICE)
    one.release(tickets[0])
    two.claim_source(two.admit(), HOME)


def claim(admission: Admission, tenant_id: TenantId) -> Ticket:
    ticket = admission.admit()
    admission.claim_source(ticket, HOME)
    admission.claim_tenant(ticket, tenant_id, PLACES)
    return ticket


def test_a_tenant_has_its_limit_in_all_workers_together() -> None:
    workers = Workers(2, AdmissionLimits(clients=9, per_source=9, per_tenant=2))
    one, two = workers.admissions
    ticket = claim(one, ALICE)
    claim(two, ALICE)

    with pytest.raises(Denied):
        claim(one, ALICE)
    claim(two, BOB)
    one.release(ticket)
    claim(two, ALICE)


def test_a_source_has_its_share_of_a_service_in_all_workers_together() -> None:
    workers = Workers(
        2, AdmissionLimits(clients=99, per_source=99, per_tenant=99, source_share=0.25)
    )
    one, two = workers.admissions
    claim(one, ALICE)
    claim(two, ALICE)

    with pytest.raises(Denied, match="its share of https:app"):
        claim(one, ALICE)


def test_what_a_worker_counted_that_is_gone_counts_no_more() -> None:
    workers = Workers(2, AdmissionLimits(clients=1, per_source=1, per_tenant=1))
    claim(workers.admissions[0], ALICE)
    clear_row(map_rows(workers.descriptor, 2, workers.columns.total)[0])

    ticket = claim(workers.admissions[1], ALICE)

    assert ticket.tenant_id == ALICE


def test_keys_of_one_place_are_chosen_by_nobody() -> None:
    rows = map_rows(create_rows(2, 2 + 3 * 1024), 2, 2 + 3 * 1024)
    one, other = (SharedClients(rows, 0, 1024, secret) for secret in (b"one", b"other"))

    assert one.find_places(b"key") != other.find_places(b"key")


@given(
    st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=3), st.booleans()), max_size=60),
)
def test_counts_are_never_too_low_and_nothing_is_left_at_the_end(
    steps: list[tuple[int, bytes, bool]],
) -> None:
    columns = plan_columns(4, 3)
    descriptor = create_rows(3, columns.total)
    rows = map_rows(descriptor, 3, columns.total)
    os.close(descriptor)
    workers = [SharedClients(rows, own, columns.places, b"secret") for own in range(3)]
    counts: dict[tuple[int, bytes], int] = {}
    for number, key, is_added in steps:
        if is_added or not counts.get((number, key)):
            workers[number].add(workers[number].find_places(key), 1)
            counts[number, key] = counts.get((number, key), 0) + 1
        else:
            workers[number].add(workers[number].find_places(key), -1)
            counts[number, key] -= 1
    for _, key in counts:
        elsewhere = counts.get((1, key), 0) + counts.get((2, key), 0)
        assert workers[0].count_elsewhere(workers[0].find_places(key)) >= elsewhere
    for (number, key), count in counts.items():
        workers[number].add(workers[number].find_places(key), -count)

    assert not any(any(row) for row in rows)


def test_a_worker_alone_needs_no_places_of_keys() -> None:
    assert plan_columns(10_000, 1).places == 0
    assert plan_columns(10_000, 2).places >= 40_000


def test_clients_by_stream_for_want_of_a_lane_are_told_to_the_others() -> None:
    workers = Workers(3, AdmissionLimits(clients=9, per_source=9, per_tenant=9))
    shared = [workers.map(own) for own in range(3)]
    shared[1].put_by_stream(3)
    shared[2].put_by_stream(4)

    assert [each.by_stream_elsewhere for each in shared] == [7, 4, 3]
