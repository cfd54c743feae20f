"""Integrity check of a database: invariants that hold whatever happened to the hub's process."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from sqlalchemy import Connection, func, select, text
from sqlmodel import col

from towonel.hub.core.ownership import find_owner, is_wildcard
from towonel.hub.core.ports import Range
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import newest_revision, schema_of
from towonel.hub.store.db.offline import open_read_only
from towonel.hub.store.tables import (
    PENDING,
    BlockRow,
    EntryRow,
    InviteHostnameRow,
    InviteRow,
    ReservationRow,
    RevisionRow,
    RouteRow,
    ServiceRow,
)
from towonel.identity.legacy.entries import verify_entry
from towonel.wire.errors import TowonelError
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import SignedEntry
from towonel.wire.names import Hostname, wildcard_of

MAX_PROBLEMS = 100  # of one kind; a broken database can have millions

type Check = Callable[[Connection], Iterator[str]]


def problems(database: Database) -> list[str]:
    """Return the violations in a database, a sentence each; empty where there is none."""
    with open_read_only(database) as connection:
        return problems_in(connection)


def problems_in(connection: Connection) -> list[str]:
    """Return the same of an open connection."""
    schema = schema_of(connection)
    if schema is None:
        return ["schema: the database is empty; start the hub on it once"]
    if schema != newest_revision():
        return [f"schema: it has revision {schema}, and this hub has {newest_revision()}"]
    found: list[str] = []
    for check in _CHECKS:
        for number, problem in enumerate(check(connection)):
            if number == MAX_PROBLEMS:
                found.append("and more of the same")
                break
            found.append(problem)
    return found


def _file(connection: Connection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for (word,) in connection.execute(text("PRAGMA integrity_check")):
            if word != "ok":
                yield f"file: {word}"
        for row in connection.execute(text("PRAGMA foreign_key_check")):
            yield f"file: a row of {row[0]} refers to nothing"


def _revisions(connection: Connection) -> Iterator[str]:
    values = connection.execute(select(col(RevisionRow.value), col(RevisionRow.pruned))).all()
    if len(values) != 1:
        yield f"revision: there are {len(values)} rows, and there must be one"
        return
    ((value, pruned),) = values
    if pruned > value:
        yield f"revision: pruned up to {pruned}, beyond the last change {value}"
    for kind, column in (("route", col(RouteRow.revision)), ("block", col(BlockRow.revision))):
        newest = connection.execute(select(func.max(column))).scalar_one()
        if (newest or 0) > value:
            yield f"revision: a {kind} has {newest}, beyond the last change {value}"


def _services(connection: Connection) -> Iterator[str]:
    query = (
        select(
            col(ServiceRow.key),
            col(ServiceRow.tenant_id),
            col(RouteRow.tenant_id),
            col(RouteRow.removed_at_ms),
        )
        .select_from(ServiceRow)
        .join(RouteRow, col(RouteRow.key) == col(ServiceRow.key), isouter=True)
    )
    for key, tenant_id, routed, removed in connection.execute(query):
        if (routed, removed) != (routed or b"", None):
            yield f"service: {key} of tenant {tenant_id.hex()[:8]} has no route"
        elif bytes(routed) != bytes(tenant_id):
            yield f"service: {key} of tenant {tenant_id.hex()[:8]} is routed to {routed.hex()[:8]}"


def _owners(connection: Connection) -> Iterator[str]:
    held = (
        select(col(InviteHostnameRow.pattern), col(InviteRow.tenant_id))
        .join(InviteRow, col(InviteRow.invite_id) == col(InviteHostnameRow.invite_id))
        .where(col(InviteHostnameRow.active))
    )
    owners = {Hostname(p): TenantId(bytes(t)) for p, t in connection.execute(held)}
    active = set(owners.values())
    live = select(
        col(RouteRow.kind), col(RouteRow.name), col(RouteRow.key), col(RouteRow.tenant_id)
    ).where(col(RouteRow.removed_at_ms).is_(None))
    for kind, name, key, tenant_id in connection.execute(live):
        owner = find_owner(Hostname(name), owners) if kind == "https" else None
        if kind == "https" and owner != bytes(tenant_id):
            whose = owner.hex()[:8] if owner else "nobody"
            yield f"route: {key} is routed to {tenant_id.hex()[:8]}, and {whose} owns it"
        elif bytes(tenant_id) not in active:
            yield f"route: {key} is routed to {tenant_id.hex()[:8]}, which has no live invite"


def _invites(connection: Connection) -> Iterator[str]:
    query = select(
        col(InviteHostnameRow.pattern),
        col(InviteHostnameRow.active),
        col(InviteHostnameRow.parent),
        col(InviteRow.status),
    ).join(InviteRow, col(InviteRow.invite_id) == col(InviteHostnameRow.invite_id))
    for pattern, active, parent, status in connection.execute(query):
        if bool(active) is not (status == PENDING):
            yield f"invite: {pattern} is {'held' if active else 'free'}, its invite {status}"
        name = Hostname(pattern)
        above = None if is_wildcard(name) else wildcard_of(name)
        if parent != above:
            yield f"invite: {pattern} stands below {parent}, and not {above}"


def _ports(connection: Connection) -> Iterator[str]:
    query = select(
        col(ReservationRow.protocol),
        col(ReservationRow.first_port),
        col(ReservationRow.last_port),
        col(ReservationRow.tenant_id),
    )
    reserved = sorted(Range(*row[:3], TenantId(bytes(row[3]))) for row in connection.execute(query))
    for one, other in pairwise(reserved):
        if one.overlaps(other):
            yield f"ports: {one} and {other} are both reserved"
    live = select(col(InviteRow.tenant_id)).where(col(InviteRow.status) == PENDING)
    tenants = {bytes(tenant_id) for tenant_id in connection.scalars(live)}
    for held in reserved:
        if held.tenant_id not in tenants:
            yield f"ports: {held} are reserved for {held.tenant_id.hex()[:8]}, which is no tenant"


def _entries(connection: Connection) -> Iterator[str]:
    query = select(
        col(EntryRow.tenant_id),
        col(EntryRow.sequence),
        col(EntryRow.payload),
        col(EntryRow.signature),
        col(InviteRow.tenant_public_key),
        col(InviteRow.last_sequence),
    ).join(InviteRow, col(InviteRow.tenant_id) == col(EntryRow.tenant_id))
    for tenant_id, sequence, payload, signature, public_key, last in connection.execute(query):
        name = f"entry: {sequence} of tenant {tenant_id.hex()[:8]}"
        try:
            entry = verify_entry(public_key, SignedEntry(payload, signature, TenantId(tenant_id)))
        except TowonelError as error:
            yield f"{name}: {error}"
            continue
        if entry.sequence != sequence or last is None or sequence > last:
            yield f"{name}: out of its place"


_CHECKS: tuple[Check, ...] = (
    _file,
    _revisions,
    _services,
    _owners,
    _invites,
    _ports,
    _entries,
)
