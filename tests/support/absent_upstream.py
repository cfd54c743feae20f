"""Upstream of an edge that has no agent for anybody."""

from dataclasses import dataclass, field
from typing import override

from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.wire.errors import Code, Unavailable


@dataclass
class AbsentUpstream(Upstream):
    """Upstream that never opens, and keeps who came."""

    clients: list[ClientConnection] = field(default_factory=list[ClientConnection])

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.clients.append(client)
        raise Unavailable(Code.NO_AGENT)
