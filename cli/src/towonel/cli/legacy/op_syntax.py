"""Parser and formats of the operations in a tenant's signed entries."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from towonel.cli.errors import UsageError
from towonel.cli.options.choices import TlsEnd
from towonel.cli.options.ids import parse_hex_id
from towonel.wire.errors import ProtocolError
from towonel.wire.legacy.ops import Op, read_op
from towonel.wire.names import parse_hostname, parse_service_name


class OpName(StrEnum):
    """Operations, as `--op` spells them."""

    UPSERT_HOSTNAME = "upsert-hostname"
    DELETE_HOSTNAME = "delete-hostname"
    SET_HOSTNAME_TLS = "set-hostname-tls"
    UPSERT_AGENT = "upsert-agent"
    REVOKE_AGENT = "revoke-agent"
    UPSERT_TCP_SERVICE = "upsert-tcp-service"
    DELETE_TCP_SERVICE = "delete-tcp-service"
    UPSERT_UDP_SERVICE = "upsert-udp-service"
    DELETE_UDP_SERVICE = "delete-udp-service"


_FLAGS_OF: Mapping[OpName, tuple[str, ...]] = {
    OpName.UPSERT_HOSTNAME: ("hostname",),
    OpName.DELETE_HOSTNAME: ("hostname",),
    OpName.SET_HOSTNAME_TLS: ("hostname", "mode"),
    OpName.UPSERT_AGENT: ("agent_id",),
    OpName.REVOKE_AGENT: ("agent_id",),
    OpName.UPSERT_TCP_SERVICE: ("service", "listen_port"),
    OpName.DELETE_TCP_SERVICE: ("service",),
    OpName.UPSERT_UDP_SERVICE: ("service", "listen_port"),
    OpName.DELETE_UDP_SERVICE: ("service",),
}


@dataclass(frozen=True, slots=True)
class OpFlags:
    """Other flags; each operation needs its own, and takes no other."""

    hostname: str | None = None
    agent_id: str | None = None
    service: str | None = None
    listen_port: int | None = None
    mode: TlsEnd | None = None


def parse_op(name: OpName, flags: OpFlags) -> Op:
    """Return the operation that the flags describe.

    Raises:
        UsageError: naming the flag that is missing, too many or wrong.
    """
    values = {
        flag: value for flag in OpFlags.__slots__ if (value := getattr(flags, flag)) is not None
    }
    for flag in OpFlags.__slots__:
        if (flag in _FLAGS_OF[name]) != (flag in values):
            rule = "is needed for" if flag in _FLAGS_OF[name] else "means nothing for"
            raise UsageError(f"--{flag.replace('_', '-')}: {rule} {name}")
    return read_op(
        {name.replace("-", "_"): {flag: _parse_flag(flag, values[flag]) for flag in values}}
    )


def op_to_json(op: Op) -> dict[str, object]:
    """Return an operation as JSON."""
    return {"op": _name(op), **{field: _plain(value) for field, value in op.body().items()}}


def format_op(op: Op) -> str:
    """Format an operation: its name, then its fields."""
    return f"{_name(op)} {format_op_subject(op)}"


def format_op_subject(op: Op) -> str:
    """Format the fields of an operation."""
    return " ".join(str(_plain(value)) for value in op.body().values())


def _name(op: Op) -> str:
    return op.name.replace("_", "-")


def _plain(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case {"mode": str(mode)}:
            return mode
        case _:
            return value


def _parse_flag(flag: str, value: object) -> object:
    """Return the value of a flag as an entry has it."""
    match flag, value:
        case "agent_id", str():
            return parse_hex_id("--agent-id", value)
        case (("hostname" | "service"), str()):
            try:
                return parse_hostname(value) if flag == "hostname" else parse_service_name(value)
            except ProtocolError as error:
                raise UsageError(f"--{flag}: {error.detail}") from error
        case "mode", str():
            return {"mode": value}
        case _:
            return value
