"""Objects of which there are as many as clients: the interpreter keeps those with few attributes small."""

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType

import pytest

from towonel.agent.worker.origin_connection import OriginConnection
from towonel.edge.worker.relays import ClientConnection
from towonel.relay.sessions.agent import AgentLane
from towonel.relay.sessions.edge_lane import EdgeLane

COMPACT = 30  # of CPython: an object with more has a table of its own, of 1.5 KiB
SET_BY_THE_LOOP = {"due", "slot", "group", "queued"}


def code_of_constructors(of: type) -> Iterator[CodeType]:
    for each in of.__mro__:
        constructor = each.__dict__.get("__init__")
        if isinstance(constructor, FunctionType):
            yield constructor.__code__


def set_at_first(of: type) -> set[str]:
    return SET_BY_THE_LOOP | {
        instruction.argval
        for code in code_of_constructors(of)
        for instruction in dis.get_instructions(code)
        if instruction.opname == "STORE_ATTR"
    }


@pytest.mark.parametrize("of", [ClientConnection, OriginConnection, EdgeLane, AgentLane])
def test_what_every_client_has_is_compact(of: type) -> None:
    assert {"sock", "descriptor", "readable"} <= set_at_first(of)
    assert len(set_at_first(of)) <= COMPACT
