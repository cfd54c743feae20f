"""A tenant's log of signed entries: which may follow, what they leave, and which still matter.

Each op is about one subject, such as `hostname:app.example.eu` or `tcp:ssh`, and the newest op of a
subject says all there is to know of it. A log can therefore be kept as short as what its tenant has:
whoever stores an entry may drop those of the subjects that it `supersedes`, and a newest entry that
`removes` once another one follows. Such a log replays to the same state.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from towonel.hub.core.desired import Wanted
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import AgentId
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    EntryTlsMode,
    Op,
    RevokeAgent,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)
from towonel.wire.names import ServiceKind, parse_hostname, parse_service_name
from towonel.wire.routes import TlsMode


@dataclass(frozen=True, slots=True)
class TenantState:
    """What a log leaves.

    Args:
        ops: of each subject there is something about, the newest op; the longest unchanged first.
    """

    ops: Mapping[str, Op] = field(default_factory=dict[str, Op])

    @property
    def hostnames(self) -> frozenset[str]:
        """What the tenant publishes by https."""
        return frozenset(op.hostname for op in self.ops.values() if isinstance(op, UpsertHostname))

    @property
    def tls_modes(self) -> Mapping[str, EntryTlsMode]:
        """The mode of each hostname that was given one, published or not."""
        found = (op for op in self.ops.values() if isinstance(op, SetHostnameTls))
        return {op.hostname: op.mode for op in found}

    @property
    def agents(self) -> frozenset[AgentId]:
        """Who serves the tenant."""
        return frozenset(op.agent_id for op in self.ops.values() if isinstance(op, UpsertAgent))

    @property
    def tcp_ports(self) -> Mapping[str, int]:
        """The port of each tcp service."""
        found = (op for op in self.ops.values() if isinstance(op, UpsertTcpService))
        return {op.service: op.listen_port for op in found}

    @property
    def udp_ports(self) -> Mapping[str, int]:
        """The port of each udp service."""
        found = (op for op in self.ops.values() if isinstance(op, UpsertUdpService))
        return {op.service: op.listen_port for op in found}


def check_sequence(last: int | None, sequence: int) -> None:
    """Check that an entry comes after all others, so that none is replayed or put into the past.

    Args:
        last: the highest sequence that the tenant ever used; None before its first entry.
        sequence: of the new entry; numbers may be left out, and the first may be any.

    Raises:
        Denied: SEQUENCE_CONFLICT.
    """
    if last is not None and sequence <= last:
        raise Denied(Code.SEQUENCE_CONFLICT, f"sequence {sequence}, but {last} was used already")


def checked(op: Op) -> Op:
    """Return an op with its names as they are compared: hostnames in lower case.

    Raises:
        ProtocolError: BAD_NAME, with the rule that a name or port breaks.
    """
    match op:
        case UpsertHostname() | DeleteHostname() | SetHostnameTls():
            return replace(op, hostname=parse_hostname(op.hostname))
        case UpsertTcpService() | UpsertUdpService() if op.listen_port == 0:
            raise ProtocolError(Code.BAD_NAME, f"service {op.service[:100]!r} has the port 0")
        case UpsertTcpService() | UpsertUdpService() | DeleteTcpService() | DeleteUdpService():
            return replace(op, service=parse_service_name(op.service))
        case UpsertAgent() | RevokeAgent():
            return op
        case _:
            assert_never(op)


def subject(op: Op) -> str:
    """Return what an op is about; the newest op about it counts."""
    match op:
        case UpsertHostname(hostname) | DeleteHostname(hostname):
            return f"hostname:{hostname}"
        case SetHostnameTls(hostname):
            return f"tls:{hostname}"
        case UpsertAgent(agent_id) | RevokeAgent(agent_id):
            return f"agent:{agent_id.hex()}"
        case UpsertTcpService(service) | DeleteTcpService(service):
            return f"tcp:{service}"
        case UpsertUdpService(service) | DeleteUdpService(service):
            return f"udp:{service}"
        case _:
            assert_never(op)


def supersedes(op: Op) -> tuple[str, ...]:
    """Return the subjects whose earlier ops no longer matter after this one.

    A hostname that is deleted loses its TLS mode: published again, it starts as passthrough.
    """
    if isinstance(op, DeleteHostname):
        return subject(op), f"tls:{op.hostname}"
    return (subject(op),)


def removes(op: Op) -> bool:
    """Tell whether an op leaves nothing about its subject."""
    return isinstance(op, DeleteHostname | RevokeAgent | DeleteTcpService | DeleteUdpService)


def apply(state: TenantState, op: Op) -> TenantState:
    """Return what a further op leaves."""
    ops = dict(state.ops)
    _put(ops, op)
    return TenantState(ops)


def replay(ops: Iterable[Op]) -> TenantState:
    """Return what the ops of a log leave, the oldest first and each as `checked` returned it."""
    found: dict[str, Op] = {}
    for op in ops:
        _put(found, op)
    return TenantState(found)


def compact(ops: Sequence[Op]) -> list[Op]:
    """Return the ops that still matter, the oldest first.

    The newest of all stays whatever it says: clients read the next sequence from the log's end.
    """
    return [*replay(ops).ops.values(), *(op for op in ops[-1:] if removes(op))]


def wanted(state: TenantState) -> list[Wanted]:
    """Return the services that a log publishes, in the order of kind and name."""
    modes = state.tls_modes
    ports = {ServiceKind.TCP: state.tcp_ports, ServiceKind.UDP: state.udp_ports}
    https = [
        Wanted(ServiceKind.HTTPS, name, None, modes.get(name, TlsMode.PASSTHROUGH))
        for name in sorted(state.hostnames)
    ]
    return https + [
        Wanted(kind, name, port, TlsMode.PASSTHROUGH)
        for kind, services in ports.items()
        for name, port in sorted(services.items())
    ]


def _put(ops: dict[str, Op], op: Op) -> None:
    for gone in supersedes(op):
        ops.pop(gone, None)
    if not removes(op):
        ops[subject(op)] = op
