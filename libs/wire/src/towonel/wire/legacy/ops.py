"""Codec of the original's ops: the changes that a signed entry can make.

An op is CBOR, a map of one key that names it: {upsert_hostname: {hostname}}. Names are taken as
they are: the hub decides which ones a tenant may use.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, final

from towonel.wire.addresses import LAST_PORT
from towonel.wire.cbor import Fields, field_error
from towonel.wire.ids import ID_BYTES, AgentId
from towonel.wire.routes import TlsMode

_MAX_NAME_CHARS = 16 * 1024  # as much as a payload can hold: the hub checks names

type EntryTlsMode = Literal[TlsMode.PASSTHROUGH, TlsMode.TERMINATE]  # those the original knows


@dataclass(frozen=True, slots=True)
class _OfHostname:
    name: ClassVar[str]

    hostname: str

    def body(self) -> Mapping[str, object]:
        return {"hostname": self.hostname}

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("hostname", _MAX_NAME_CHARS))


@dataclass(frozen=True, slots=True)
class _OfAgent:
    name: ClassVar[str]

    agent_id: AgentId

    def body(self) -> Mapping[str, object]:
        return {"agent_id": self.agent_id}

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(AgentId(fields.octets("agent_id", ID_BYTES)))


@dataclass(frozen=True, slots=True)
class _OfPort:
    name: ClassVar[str]

    service: str
    listen_port: int

    def body(self) -> Mapping[str, object]:
        return {"service": self.service, "listen_port": self.listen_port}

    @classmethod
    def read(cls, fields: Fields) -> Self:
        service = fields.text("service", _MAX_NAME_CHARS)
        return cls(service, fields.uint("listen_port", LAST_PORT))


@dataclass(frozen=True, slots=True)
class _OfService:
    name: ClassVar[str]

    service: str

    def body(self) -> Mapping[str, object]:
        return {"service": self.service}

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("service", _MAX_NAME_CHARS))


@final
class UpsertHostname(_OfHostname):
    """Op that publishes a hostname or pattern."""

    __slots__ = ()
    name = "upsert_hostname"


@final
class DeleteHostname(_OfHostname):
    """Op that unpublishes a hostname, and removes its TLS mode."""

    __slots__ = ()
    name = "delete_hostname"


@final
@dataclass(frozen=True, slots=True)
class SetHostnameTls:
    """Op that sets the TLS mode of a hostname."""

    name: ClassVar[str] = "set_hostname_tls"

    hostname: str
    mode: EntryTlsMode

    def body(self) -> Mapping[str, object]:
        return {"hostname": self.hostname, "mode": write_tls_mode(self.mode)}

    @classmethod
    def read(cls, fields: Fields) -> Self:
        mode = read_tls_mode(fields.values.get("mode"))
        return cls(fields.text("hostname", _MAX_NAME_CHARS), mode)


@final
class UpsertAgent(_OfAgent):
    """Op that lets an agent serve the tenant."""

    __slots__ = ()
    name = "upsert_agent"


@final
class RevokeAgent(_OfAgent):
    """Op that no longer lets an agent serve the tenant."""

    __slots__ = ()
    name = "revoke_agent"


@final
class UpsertTcpService(_OfPort):
    """Op that publishes a tcp service on a port, and no longer on the port before."""

    __slots__ = ()
    name = "upsert_tcp_service"


@final
class DeleteTcpService(_OfService):
    """Op that unpublishes a tcp service."""

    __slots__ = ()
    name = "delete_tcp_service"


@final
class UpsertUdpService(_OfPort):
    """Op that publishes a udp service on a port, and no longer on the port before."""

    __slots__ = ()
    name = "upsert_udp_service"


@final
class DeleteUdpService(_OfService):
    """Op that unpublishes a udp service."""

    __slots__ = ()
    name = "delete_udp_service"


type Op = (
    UpsertHostname
    | DeleteHostname
    | SetHostnameTls
    | UpsertAgent
    | RevokeAgent
    | UpsertTcpService
    | DeleteTcpService
    | UpsertUdpService
    | DeleteUdpService
)


def write_op(op: Op) -> Mapping[str, object]:
    """Return an op as the map it is in a payload."""
    return {op.name: op.body()}


def read_op(item: object) -> Op:
    """Return the op of a decoded item.

    Raises:
        ProtocolError: MALFORMED, also for an unknown op.
    """
    named = Fields.of(item).values
    if len(named) != 1:
        raise field_error("op", "must be a map of one key")
    [(name, body)] = named.items()
    if name not in _READERS:
        raise field_error("op", f"{str(name)[:40]!r} is not known")
    return _READERS[name](Fields.of(body))


def write_tls_mode(mode: EntryTlsMode) -> Mapping[str, str]:
    """Return the form of a TLS mode inside ops and route tables."""
    return {"mode": str(mode)}


def read_tls_mode(item: object) -> EntryTlsMode:
    """Return the TLS mode of a decoded item.

    Raises:
        ProtocolError: MALFORMED.
    """
    match Fields.of(item).text("mode", 16):
        case "passthrough":
            return TlsMode.PASSTHROUGH
        case "terminate":
            return TlsMode.TERMINATE
        case other:
            raise field_error("mode", f"{other!r} must be passthrough or terminate")


_READERS: Mapping[str, Callable[[Fields], Op]] = {
    UpsertHostname.name: UpsertHostname.read,
    DeleteHostname.name: DeleteHostname.read,
    SetHostnameTls.name: SetHostnameTls.read,
    UpsertAgent.name: UpsertAgent.read,
    RevokeAgent.name: RevokeAgent.read,
    UpsertTcpService.name: UpsertTcpService.read,
    DeleteTcpService.name: DeleteTcpService.read,
    UpsertUdpService.name: UpsertUdpService.read,
    DeleteUdpService.name: DeleteUdpService.read,
}
