"""Invites: each makes a tenant, and its token is told once."""

import secrets
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.invites import (
    HostnamesIn,
    HostnamesOut,
    InviteDetail,
    InviteEdit,
    InviteIn,
    InviteList,
    InviteOut,
    InviteStatus,
    RevokedOut,
)
from towonel.hub.api.http.auth import Idempotent, IfMatch, Operator, Viewer, check_version, etag
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import InviteId, LongPage, Pattern, Text, parse_id
from towonel.hub.api.presenters import invite_detail, invite_items, quotas_of
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.invites import expiry_ms, parse_patterns
from towonel.hub.core.ownership import taken
from towonel.hub.core.quotas import check as check_quota
from towonel.hub.core.random_names import random_name
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.operations.declared_tenants import NO_SECRET
from towonel.hub.operations.edit import edit_invite
from towonel.hub.operations.hostname_ownership import reconcile_ownership
from towonel.hub.store import invites as store
from towonel.hub.store import ports
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, InviteRow
from towonel.identity.keys import TenantKey, hash_invite_secret
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.names import Hostname
from towonel.wire.tokens import INVITE_ID_BYTES, SECRET_BYTES, SEED_BYTES, EdgeToken, InviteToken

router = APIRouter(prefix="/v1/invites", tags=["invites"])
_DECLARED = (
    "TOWONEL_TENANTS names this tenant, so that the next start of the hub would bring it back;"
    " take it out there, or remove the tenant"
)


@router.post("", responses=error_responses(400, 409))
async def create_invite(
    hub: HubDep, caller: Operator, body: InviteIn, once: Idempotent
) -> InviteOut:
    """Make a tenant that may publish these hostnames."""
    patterns = parse_patterns(body.hostnames)
    token = new_token(hub.url, InviteToken)
    tenant = TenantKey.from_seed(token.seed)
    row = InviteRow(
        invite_id=token.invite_id,
        name=(body.name or "").strip() or random_name(secrets.randbelow),
        secret_hash=hash_invite_secret(hub.keys.invite_hash, token.secret),
        expires_at_ms=expiry_ms(body.expires_in_secs, hub.now_ms()),
        tenant_id=tenant.tenant_id,
        tenant_public_key=tenant.public,
        created_at_ms=hub.now_ms(),
    )
    made = InviteOut(
        token=token.encode(),
        invite_id=base64url.encode(row.invite_id),
        tenant_id=tenant.tenant_id.hex(),
        name=row.name,
        expires_at_ms=row.expires_at_ms,
    )
    async with hub.store.write() as change:
        before = await once(caller).replay(change, InviteOut)
        if before is not None:
            return before
        check_quota("hostnames", len(patterns), hub.policy.quotas.hostnames)
        held = taken(patterns, await store.pattern_owners(change.session, patterns))
        if held:
            raise Denied(Code.HOSTNAME_CONFLICT, f"another invite has already: {', '.join(held)}")
        await store.add_invite(change, row, patterns)
        await reconcile_ownership(change, patterns, hub.now_ms())
        after = {"name": row.name, "hostnames": patterns, "expires_at_ms": row.expires_at_ms}
        await record(change, caller.actor, _deed("created", row, after=after), hub.now_ms())
        await once(caller).store(change, made, hub.now_ms())
    return made


@router.get("", responses=error_responses(400))
async def list_invites(
    hub: HubDep,
    caller: Viewer,
    paging: LongPage,
    status: Annotated[InviteStatus | None, Query(description="How they stand.")] = None,
    name: Text = None,
    hostname: Text = None,
) -> InviteList:
    """List invites, the newest first; one page has a thousand unless asked for fewer."""
    wanted = store.InviteFilter(status=status, name=name, hostname=hostname)
    async with hub.store.read() as session:
        found = await store.newest(session, paging, wanted)
        hostnames = await store.hostnames(session, [row.invite_id for row in found.rows])
    return InviteList(invites=invite_items(found.rows, hostnames), next_cursor=found.next_cursor)


@router.get("/{invite_id}", responses=error_responses(400, 404))
async def get_invite(
    hub: HubDep, caller: Viewer, invite_id: InviteId, response: Response
) -> InviteDetail:
    """Show one invite, whole."""
    async with hub.store.read() as session:
        row = await _get_or_404(session, invite_id)
        response.headers["etag"] = etag(row.version)
        return await _detail(session, row)


@router.patch("/{invite_id}", responses=error_responses(400, 404, 409, 412))
async def update_invite(
    hub: HubDep,
    caller: Operator,
    invite_id: InviteId,
    body: InviteEdit,
    response: Response,
    if_match: IfMatch = None,
) -> InviteDetail:
    """Change the name, hostnames, ports, limits or expiry of a live invite; its token stays good."""
    async with hub.store.write() as change:
        row = await _get_active(change.session, invite_id)
        check_version(if_match, row.version)
        await edit_invite(hub, change, caller.actor, row, body)
        response.headers["etag"] = etag(row.version)
        return await _detail(change.session, row)


@router.post("/{invite_id}/hostnames", responses=error_responses(400, 404, 409))
async def add_invite_hostnames(
    hub: HubDep, caller: Operator, invite_id: InviteId, body: HostnamesIn
) -> HostnamesOut:
    """Add hostnames to a live invite; those it has already stay."""
    added = parse_patterns(body.hostnames)
    async with hub.store.write() as change:
        row = await _get_active(change.session, invite_id)
        held = await store.hostnames_of(change.session, row.invite_id)
        wanted = list(dict.fromkeys([*map(Hostname, held), *added]))
        return await _set_hostnames(hub, change, caller, row, wanted)


@router.delete("/{invite_id}/hostnames/{hostname}", responses=error_responses(400, 404, 409))
async def remove_invite_hostname(
    hub: HubDep, caller: Operator, invite_id: InviteId, hostname: Pattern
) -> HostnamesOut:
    """Take a hostname from a live invite; what was published under it ends at once."""
    (gone,) = parse_patterns([hostname])
    async with hub.store.write() as change:
        row = await _get_active(change.session, invite_id)
        held = await store.hostnames_of(change.session, row.invite_id)
        if gone not in held:
            raise Denied(Code.NOT_FOUND, f"the invite has no hostname {gone}")
        if len(held) == 1:
            raise Denied(Code.INVALID_REQUEST, "an invite keeps one hostname; revoke it instead")
        wanted = [Hostname(pattern) for pattern in held if pattern != gone]
        return await _set_hostnames(hub, change, caller, row, wanted)


@router.delete("/{invite_id}", responses=error_responses(400, 404))
async def revoke_invite(hub: HubDep, caller: Operator, invite_id: InviteId) -> RevokedOut:
    """End a tenant: its routes go and its sessions are closed, on every edge."""
    async with hub.store.write() as change:
        row = await _get_active(change.session, invite_id)
        if row.secret_hash == NO_SECRET:
            raise Denied(Code.INVALID_REQUEST, _DECLARED)
        await tenant_lifecycle.end(change, row, hub.now_ms())
        deed = _deed("revoked", row, before={"name": row.name})
        await record(change, caller.actor, deed, hub.now_ms())
    return RevokedOut()


def new_token[T: (InviteToken, EdgeToken)](url: str, kind: type[T]) -> T:
    """Return a token with fresh random parts."""
    return kind(
        url,
        secrets.token_bytes(INVITE_ID_BYTES),
        secrets.token_bytes(SECRET_BYTES),
        secrets.token_bytes(SEED_BYTES),
    )


async def _set_hostnames(
    hub: Hub, change: Write, caller: Operator, row: InviteRow, wanted: list[Hostname]
) -> HostnamesOut:
    held = await store.hostnames_of(change.session, row.invite_id)
    if wanted != held:
        quotas = quotas_of(row, hub.policy.quotas)
        await tenant_lifecycle.set_hostnames(change, row, wanted, quotas, hub.now_ms())
        row.version += 1
        change.session.add(row)
        deed = _deed("updated", row, {"hostnames": held}, {"hostnames": wanted})
        await record(change, caller.actor, deed, hub.now_ms())
    return HostnamesOut(invite_id=base64url.encode(row.invite_id), remaining_hostnames=[*wanted])


async def _get_or_404(session: AsyncSession, invite_id: str) -> InviteRow:
    row = await store.invite(session, parse_id(invite_id))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such invite")
    return row


async def _get_active(session: AsyncSession, invite_id: str) -> InviteRow:
    row = await _get_or_404(session, invite_id)
    if row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such invite, or it is revoked already")
    return row


async def _detail(session: AsyncSession, row: InviteRow) -> InviteDetail:
    hostnames = await store.hostnames_of(session, row.invite_id)
    kept = await ports.of_tenant(session, row.tenant_id)
    return invite_detail(row, hostnames, kept)


def _deed(
    verb: str,
    row: InviteRow,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> AuditEvent:
    subject = f"invite:{base64url.encode(row.invite_id)}"
    return AuditEvent(f"invite.{verb}", subject, row.tenant_id, before, after)
