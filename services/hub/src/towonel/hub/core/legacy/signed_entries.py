"""Log of a tenant's signed entries: sequence rule, replay to a state, and compaction.

Each op is about one subject, such as `hostname:app.example.eu` or `tcp:ssh`, and only the newest op of a
subject matters. So the log needs no more entries than its tenant has subjects: a store may drop the
entries of the subjects that a new one `supersedes`, and a newest entry that `removes` once another one
follows. Such a log replays to the same state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from towonel.api.services import ServiceIn
from towonel.identity.keys import is_node_id
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
from towonel.wire.names import parse_hostname, parse_service_name
from towonel.wire.routes import TlsMode


@dataclass(frozen=True, slots=True)
class TenantState:
    """State after the replay of a log.

    Args:
        ops: the newest op of each subject that was not removed; the longest unchanged first.
    """

    ops: Mapping[str, Op] = field(default_factory=dict[str, Op])

    @property
    def hostnames(self) -> frozenset[str]:
        """The published https hostnames."""
        return frozenset(op.hostname for op in self.ops.values() if isinstance(op, UpsertHostname))

    @property
    def tls_modes(self) -> Mapping[str, EntryTlsMode]:
        """The TLS mode of each hostname that has one, published or not."""
        found = (op for op in self.ops.values() if isinstance(op, SetHostnameTls))
        return {op.hostname: op.mode for op in found}

    @property
    def agents(self) -> frozenset[AgentId]:
        """The agents of the tenant."""
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
    """Check that an entry follows all earlier ones, so that none is replayed or inserted.

    Args:
        last: the highest sequence that the tenant ever used, or None before its first entry.
        sequence: of the new entry; gaps are allowed, and the first may be any number.

    Raises:
        Denied: SEQUENCE_CONFLICT.
    """
    if last is not None and sequence <= last:
        raise Denied(Code.SEQUENCE_CONFLICT, f"sequence {sequence}, but {last} was used already")


def normalize(op: Op) -> Op:
    """Validate an op and return it with normalized names: hostnames in lower case.

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
        case UpsertAgent(agent_id) if not is_node_id(agent_id):
            raise ProtocolError(Code.BAD_NAME, "agent_id: is not an Ed25519 public key")
        case UpsertAgent() | RevokeAgent():
            return op
        case _:
            assert_never(op)


def subject_of(op: Op) -> str:
    """Return the subject of an op; only the newest op of a subject matters."""
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
    """Return the subjects whose earlier ops this one supersedes.

    A deleted hostname loses its TLS mode: published again, it starts as passthrough.
    """
    if isinstance(op, DeleteHostname):
        return subject_of(op), f"tls:{op.hostname}"
    return (subject_of(op),)


def removes(op: Op) -> bool:
    """Whether an op removes its subject."""
    return isinstance(op, DeleteHostname | RevokeAgent | DeleteTcpService | DeleteUdpService)


def apply(state: TenantState, op: Op) -> TenantState:
    """Return the state after one more op."""
    ops = dict(state.ops)
    _put(ops, op)
    return TenantState(ops)


def replay(ops: Iterable[Op]) -> TenantState:
    """Return the state after the normalized ops of a log, the oldest first."""
    state: dict[str, Op] = {}
    for op in ops:
        _put(state, op)
    return TenantState(state)


def services_of(state: TenantState) -> list[ServiceIn]:
    """Return the services that a log publishes, in the order of kind and name."""
    modes = state.tls_modes
    https = [
        ServiceIn(
            kind="https",
            name=name,
            tls_mode="terminate" if modes.get(name) is TlsMode.TERMINATE else "passthrough",
        )
        for name in sorted(state.hostnames)
    ]
    tcp = [
        ServiceIn(kind="tcp", name=name, port=port)
        for name, port in sorted(state.tcp_ports.items())
    ]
    udp = [
        ServiceIn(kind="udp", name=name, port=port)
        for name, port in sorted(state.udp_ports.items())
    ]
    return https + tcp + udp


def _put(ops: dict[str, Op], op: Op) -> None:
    for gone in supersedes(op):
        ops.pop(gone, None)
    if not removes(op):
        ops[subject_of(op)] = op
