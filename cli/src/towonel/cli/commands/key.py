"""`towonel key`: API keys, each with a role."""

from typing import Annotated

import typer

from towonel.api.keys import (
    MAX_EXPIRY_S,
    MIN_EXPIRY_S,
    KeyEdit,
    KeyIn,
    KeyItem,
    KeyOut,
    KeyRotation,
    Role,
)
from towonel.cli.command import hub_command
from towonel.cli.conditional_edit import Force, send_edit
from towonel.cli.errors import UsageError
from towonel.cli.idempotent import create_once
from towonel.cli.options.expiry import Expires, ExpiresAt, parse_expiry, parse_lifetime
from towonel.cli.options.flags import ItemId
from towonel.cli.options.ids import TenantIdFlag, build_request, parse_hex_id
from towonel.cli.output import Fields, Output, format_time, now
from towonel.cli.tables import fetch_all, list_output
from towonel.client.operator import OperatorClient

MAX_GRACE_S = 30 * 86_400  # the hub's

app = typer.Typer()


@hub_command(
    app,
    "create",
    "towonel key create --name ci --role operator --expires 90d",
    f"towonel key create --name home --role viewer --tenant-id {'b7' * 32}",
)
async def create(
    hub: OperatorClient,
    name: Annotated[str, typer.Option(metavar="NAME", help="Who it is for.", show_default=False)],
    role: Annotated[Role, typer.Option(help="What it may do.", show_default=False)],
    tenant_id: TenantIdFlag = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it works: 90d, never.")
    ] = "never",
) -> Output:
    """Make a key, and print it: the hub keeps only a hash of it. With a tenant, it is for that alone."""
    key_request = build_request(
        KeyIn,
        name=name,
        role=role,
        tenant_id=None if tenant_id is None else parse_hex_id("--tenant-id", tenant_id),
        expires_in_secs=parse_lifetime("--expires", expires, MAX_EXPIRY_S, MIN_EXPIRY_S),
    )
    created = await create_once(lambda key: hub.keys.create(key_request, idempotency_key=key))
    return _render_secret(created, "\nThe key, shown this once:")


@hub_command(app, "list", "towonel key list", "towonel key list --json")
async def list_all(hub: OperatorClient) -> Output:
    """List keys, the newest first, without their secrets."""
    keys = await fetch_all(hub.keys.list, lambda page: page.keys)
    columns = ("ID", "NAME", "STATUS", "ROLE", "TENANT", "EXPIRES", "LAST USED")
    return list_output("keys", keys, columns, _to_row, "There is no key yet.")


@hub_command(app, "show", "towonel key show --id 7GkX0yQmJ4s")
async def show(hub: OperatorClient, key_id: ItemId) -> Output:
    """Show one key, without its secret."""
    item = (await hub.keys.get(key_id)).value
    return Output(item, Fields(_fields(item)))


@hub_command(
    app,
    "edit",
    "towonel key edit --id 7GkX0yQmJ4s --name ci-2",
    "towonel key edit --id 7GkX0yQmJ4s --expires 30d",
)
async def edit(
    hub: OperatorClient,
    key_id: ItemId,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its new name.")] = None,
    expires: Expires = None,
    expires_at: ExpiresAt = None,
    force: Force = False,
) -> Output:
    """Change the name or the end of a key; its secret stays."""
    change: dict[str, object] = {} if name is None else {"name": name}
    if expires is not None or expires_at is not None:
        change["expires_at"] = parse_expiry(expires, expires_at, now(), MAX_EXPIRY_S)
    if not change:
        raise UsageError("nothing to change: give --name, --expires or --expires-at")
    edit_request = build_request(KeyEdit, **change)
    etag = (await hub.keys.get(key_id)).etag
    item = await send_edit(
        lambda if_match: hub.keys.update(key_id, edit_request, if_match=if_match), etag, force=force
    )
    return Output(item, Fields(_fields(item)))


@hub_command(
    app,
    "rotate",
    "towonel key rotate --id 7GkX0yQmJ4s",
    "towonel key rotate --id 7GkX0yQmJ4s --grace 7d",
)
async def rotate(
    hub: OperatorClient,
    key_id: ItemId,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret still works: 0, 1h, 7d.")
    ] = "1h",
) -> Output:
    """Give a key a new secret, and print it."""
    grace_s = parse_lifetime("--grace", grace, MAX_GRACE_S) or 0
    rotation = KeyRotation(grace_secs=grace_s)
    rotated = await create_once(lambda key: hub.keys.rotate(key_id, rotation, idempotency_key=key))
    return _render_secret(
        rotated, f"\nThe new key, shown this once; the old one works for {grace_s} s more:"
    )


@hub_command(app, "revoke", "towonel key revoke --id 7GkX0yQmJ4s")
async def revoke(hub: OperatorClient, key_id: ItemId) -> Output:
    """Revoke a key: the hub refuses it from now on."""
    await hub.keys.revoke(key_id)
    return Output({"status": "revoked", "key_id": key_id}, f"revoked {key_id}")


def _render_secret(key: KeyOut, caption: str) -> Output:
    return Output(key, Fields(_fields(key)), caption, key.key)


def _fields(key: KeyItem) -> list[tuple[str, str]]:
    return [
        ("id", key.key_id),
        ("name", key.name),
        ("status", key.status),
        ("role", key.role),
        ("tenant", _format_tenant(key) or "every one"),
        ("created", format_time(key.created_at)),
        ("expires", format_time(key.expires_at)),
        ("last used", format_time(key.last_used_at)),
        ("rotated", format_time(key.rotated_at)),
    ]


def _to_row(key: KeyItem) -> tuple[str, ...]:
    expires, used = format_time(key.expires_at), format_time(key.last_used_at)
    return key.key_id, key.name, key.status, key.role, _format_tenant(key), expires, used


def _format_tenant(key: KeyItem) -> str:
    return "" if key.tenant_id is None else key.tenant_id.hex()
