"""What flags change about an invite, decided from the invite as it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from towonel.api.invites import InviteDetail, InviteEdit
from towonel.api.limits import MAX_LIMIT, Limits
from towonel.api.ports import PortRange
from towonel.cli.commands.invite.invites import hostnames_from, parse_name
from towonel.cli.options.expiry import moment
from towonel.cli.options.ids import request
from towonel.cli.options.port_ranges import parse_ports, shown_range
from towonel.cli.usage import UsageError

MAX_EXPIRY_S = 10 * 366 * 86_400
_DEFAULT = "default"

Limit = Annotated[
    str | None,
    typer.Option(metavar="N", help=f"How many it may have at most; {_DEFAULT}: as the hub says."),
]


@dataclass(frozen=True, slots=True)
class InviteChanges:
    """The flags of `invite edit`; what was not given is None or empty."""

    name: str | None = None
    hostnames: str | None = None
    add_hostname: Sequence[str] | None = None
    remove_hostname: Sequence[str] | None = None
    add_port: Sequence[str] | None = None
    remove_port: Sequence[str] | None = None
    expires: str | None = None
    expires_at: str | None = None
    limits: Mapping[str, str | None] | None = None


def edit_from(invite: InviteDetail, changes: InviteChanges, now: datetime) -> InviteEdit:
    """Return the edit that the flags ask for.

    Raises:
        UsageError: naming the flag and the rule, also where nothing is to change.
    """
    fields: dict[str, object] = {}
    if changes.name is not None:
        fields["name"] = changes.name
    if changes.hostnames is not None or changes.add_hostname or changes.remove_hostname:
        fields["hostnames"] = _hostnames(invite, changes)
    if changes.add_port or changes.remove_port:
        fields["ports"] = _ports(invite, changes)
    if changes.expires is not None or changes.expires_at is not None:
        fields["expires_at"] = moment(changes.expires, changes.expires_at, now, MAX_EXPIRY_S)
    limits = limits_from(**(changes.limits or {}))
    if limits is not None:
        fields["limits"] = limits
    if not fields:
        raise UsageError("nothing to change: give at least one of the flags that --help lists")
    return request(InviteEdit, **fields)


def limits_from(**given: str | None) -> Limits | None:
    """Return the limits that flags give, by name; None where they give none.

    Raises:
        UsageError: naming the flag and the rule.
    """
    limits = {name: _limit(name, text) for name, text in given.items() if text is not None}
    return Limits(**limits) if limits else None


def shown_limits(limits: Limits) -> str:
    """Return a tenant's own limits, for people."""
    own = {name: value for name, value in limits.model_dump().items() if value is not None}
    return ", ".join(f"{value} {name}" for name, value in own.items()) or "the hub's"


def _hostnames(invite: InviteDetail, changes: InviteChanges) -> list[str]:
    given = changes.hostnames
    held = invite.hostnames if given is None else hostnames_from("--hostnames", given)
    added = [parse_name("--add-hostname", text) for text in changes.add_hostname or ()]
    gone = [parse_name("--remove-hostname", text) for text in changes.remove_hostname or ()]
    left = _changed("hostname", held, added, gone)
    if not left:
        raise UsageError("--remove-hostname: an invite keeps one hostname; revoke it instead")
    return left


def _ports(invite: InviteDetail, changes: InviteChanges) -> list[PortRange]:
    added = [parse_ports("--add-port", text) for text in changes.add_port or ()]
    gone = [parse_ports("--remove-port", text) for text in changes.remove_port or ()]
    by_text = {shown_range(ports): ports for ports in (*invite.ports, *added)}
    held = map(shown_range, invite.ports)
    left = _changed("port", held, map(shown_range, added), map(shown_range, gone))
    return [by_text[text] for text in left]


def _changed(
    what: str, held: Iterable[str], added: Iterable[str], gone: Iterable[str]
) -> list[str]:
    """Return what is held then, each once, in the order it came."""
    left = dict.fromkeys(held)
    for text in gone:
        if text not in left:
            found = ", ".join(left) or "none"
            raise UsageError(f"--remove-{what}: it has no {text}; it has {found}")
        del left[text]
    return list(left | dict.fromkeys(added))


def _limit(name: str, text: str) -> int | None:
    if text.strip() == _DEFAULT:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:10]) <= MAX_LIMIT):
        raise UsageError(f"--max-{name}: is a number up to {MAX_LIMIT}, or {_DEFAULT}")
    return int(text)
