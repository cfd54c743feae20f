"""Flags of the commands on invites, and the request that they ask for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from towonel.api.fields import MAX_HOSTNAMES
from towonel.api.invites import MAX_EXPIRY_S, MAX_SERVING_S, InviteDetail, InviteEdit
from towonel.api.ports import PortRange
from towonel.cli.errors import UsageError
from towonel.cli.options.expiry import parse_expiry
from towonel.cli.options.ids import build_request
from towonel.cli.options.limits import parse_limits
from towonel.cli.options.port_ranges import format_range, parse_ports
from towonel.wire.errors import ProtocolError
from towonel.wire.names import parse_hostname

MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class InviteChanges:
    """Flags of `invite edit`; None or empty if not given."""

    name: str | None = None
    hostnames: Sequence[str] | None = None
    add_hostname: Sequence[str] | None = None
    remove_hostname: Sequence[str] | None = None
    add_port: Sequence[str] | None = None
    remove_port: Sequence[str] | None = None
    expires: str | None = None
    expires_at: str | None = None
    serve_for: str | None = None
    serve_until: str | None = None
    limits: Mapping[str, str | None] | None = None


def parse_edit(invite: InviteDetail, changes: InviteChanges, now: datetime) -> InviteEdit:
    """Return the request that the flags describe.

    Raises:
        UsageError: naming the flag and the rule; also if nothing is to change.
    """
    fields: dict[str, object] = {}
    if changes.name is not None:
        fields["name"] = changes.name
    if changes.hostnames or changes.add_hostname or changes.remove_hostname:
        fields["hostnames"] = _hostnames(invite, changes)
    if changes.add_port or changes.remove_port:
        fields["ports"] = _ports(invite, changes)
    if changes.expires is not None or changes.expires_at is not None:
        fields["expires_at"] = parse_expiry(changes.expires, changes.expires_at, now, MAX_EXPIRY_S)
    if changes.serve_for is not None or changes.serve_until is not None:
        fields["serves_until"] = parse_expiry(
            *(changes.serve_for, changes.serve_until, now, MAX_SERVING_S),
            ("--serve-for", "--serve-until"),
        )
    limits = parse_limits(**(changes.limits or {}))
    if limits is not None:
        fields["limits"] = limits
    if not fields:
        raise UsageError("nothing to change: give at least one of the flags that --help lists")
    return build_request(InviteEdit, **fields)


def parse_hostnames(flag: str, texts: Sequence[str]) -> list[str]:
    """Return the hostnames of a flag that may be repeated, each time with several between commas.

    Raises:
        UsageError: naming the flag and the rule.
    """
    names = [item.strip() for text in texts for item in text.split(",") if item.strip()]
    if not 1 <= len(names) <= MAX_HOSTNAMES:
        raise UsageError(f"{flag}: give 1 to {MAX_HOSTNAMES}, separated by commas")
    return [parse_name(flag, item) for item in names]


def parse_name(flag: str, text: str) -> str:
    """Return one hostname as the hub spells it; errors as in `hostnames_from`."""
    try:
        return parse_hostname(text.strip())
    except ProtocolError as error:
        raise UsageError(f"{flag}: {error.detail}") from error


def parse_invite_name(name: str | None) -> str | None:
    """Check the name of an invite; None lets the hub choose one."""
    if name is not None and len(name) > MAX_NAME_CHARS:
        raise UsageError(f"--name: at most {MAX_NAME_CHARS} characters")
    return name


def _hostnames(invite: InviteDetail, changes: InviteChanges) -> list[str]:
    replacement = changes.hostnames
    current = parse_hostnames("--hostnames", replacement) if replacement else invite.hostnames
    added = _parse_names("--add-hostname", changes.add_hostname)
    removed = _parse_names("--remove-hostname", changes.remove_hostname)
    result = _add_and_remove("hostname", current, added, removed)
    if not result:
        raise UsageError("--remove-hostname: an invite keeps one hostname; revoke it instead")
    return result


def _parse_names(flag: str, texts: Sequence[str] | None) -> list[str]:
    return parse_hostnames(flag, texts) if texts else []


def _parse_several_ports(flag: str, texts: Sequence[str] | None) -> list[PortRange]:
    return [parse_ports(flag, item) for text in texts or () for item in text.split(",")]


def _ports(invite: InviteDetail, changes: InviteChanges) -> list[PortRange]:
    added = _parse_several_ports("--add-port", changes.add_port)
    removed = _parse_several_ports("--remove-port", changes.remove_port)
    by_text = {format_range(ports): ports for ports in (*invite.ports, *added)}
    current = map(format_range, invite.ports)
    result = _add_and_remove("port", current, map(format_range, added), map(format_range, removed))
    return [by_text[text] for text in result]


def _add_and_remove(
    what: str, current: Iterable[str], added: Iterable[str], removed: Iterable[str]
) -> list[str]:
    """Return the current values without the removed and with the added, each once, in order."""
    result = dict.fromkeys(current)
    for text in removed:
        if text not in result:
            names = ", ".join(result) or "none"
            raise UsageError(f"--remove-{what}: it has no {text}; it has {names}")
        del result[text]
    return list(result | dict.fromkeys(added))
