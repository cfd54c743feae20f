"""Turns of bulk: a tenant has as many as another one, however many sessions it opens."""

from support.edge_front import START
from support.limits import share_limits

from towonel.edge.worker.messages import SessionAdmitted
from towonel.edge.worker.service import ClientService
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool


def test_sessions_of_a_tenant_share_their_turns_and_those_of_others_do_not() -> None:
    loop = Loop()
    service = ClientService(
        *(START, loop, Memory(PipePool()), lambda message, descriptors=(): None), share_limits()[0]
    )
    for number, tenant in enumerate([b"a", b"b", b"a"]):
        admitted = SessionAdmitted(bytes([number]) * 16, tenant * 32, b"k" * 32, 0.001)
        service.sessions.add(admitted)

    first, other, second = (each.group for each in service.lanes.sessions.values())
    assert first is second
    assert first is not other
    service.close()
    loop.close()
