"""`towonel key`: API keys, each with a role, for people and programs that are not the operator."""

from typing import Annotated

import typer

from towonel.api.keys import KeyEdit, KeyIn, KeyItem, KeyOut, KeyRotation
from towonel.cli.command import group, hub_command
from towonel.cli.conditional_edit import Force, edited
from towonel.cli.idempotent import once
from towonel.cli.options.choices import KeyRole
from towonel.cli.options.expiry import Expires, ExpiresAt, moment, seconds
from towonel.cli.options.flags import ItemId
from towonel.cli.options.ids import TenantIdFlag, checked_hex, request
from towonel.cli.output import Fields, Shown, now, shown_time
from towonel.cli.tables import listed, shown_list
from towonel.cli.usage import UsageError
from towonel.client.hub import HubClient

MIN_EXPIRY_S, MAX_EXPIRY_S = 60, 10 * 366 * 86_400  # the hub's
MAX_GRACE_S = 30 * 86_400  # the hub's

app = group()


@hub_command(
    app,
    "create",
    "towonel key create --name ci --role operator --expires 90d",
    f"towonel key create --name home --role viewer --tenant-id {'b7' * 32}",
)
async def create(
    hub: HubClient,
    name: Annotated[str, typer.Option(metavar="NAME", help="Who it is for.", show_default=False)],
    role: Annotated[KeyRole, typer.Option(help="What it may do.", show_default=False)],
    tenant_id: TenantIdFlag = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it works: 90d, never.")
    ] = "never",
) -> Shown:
    """Make a key, and print it: the hub keeps only a hash of it. With a tenant, it is for that alone."""
    wanted = request(
        KeyIn,
        name=name,
        role=role,
        tenant_id=None if tenant_id is None else checked_hex("--tenant-id", tenant_id),
        expires_in_secs=seconds("--expires", expires, MAX_EXPIRY_S, MIN_EXPIRY_S),
    )
    made = await once(lambda key: hub.keys.create(wanted, idempotency_key=key))
    return _secret(made, "\nThe key, shown this once:")


@hub_command(app, "list", "towonel key list", "towonel key list --json")
async def list_all(hub: HubClient) -> Shown:
    """List keys, the newest first, without their secrets."""
    found = await listed(hub.keys.list, lambda page: page.keys)
    columns = ("ID", "NAME", "STATUS", "ROLE", "TENANT", "EXPIRES", "LAST USED")
    return shown_list("keys", found, columns, _row, "There is no key yet.")


@hub_command(app, "show", "towonel key show --id 7GkX0yQmJ4s")
async def show(hub: HubClient, key_id: ItemId) -> Shown:
    """Show one key, without its secret."""
    found = (await hub.keys.get(key_id)).value
    return Shown(found, Fields(_fields(found)))


@hub_command(
    app,
    "edit",
    "towonel key edit --id 7GkX0yQmJ4s --name ci-2",
    "towonel key edit --id 7GkX0yQmJ4s --expires 30d",
)
async def edit(
    hub: HubClient,
    key_id: ItemId,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its new name.")] = None,
    expires: Expires = None,
    expires_at: ExpiresAt = None,
    force: Force = False,
) -> Shown:
    """Change the name or the end of a key; its secret stays."""
    change: dict[str, object] = {} if name is None else {"name": name}
    if expires is not None or expires_at is not None:
        change["expires_at"] = moment(expires, expires_at, now(), MAX_EXPIRY_S)
    if not change:
        raise UsageError("nothing to change: give --name, --expires or --expires-at")
    wanted = request(KeyEdit, **change)
    etag = (await hub.keys.get(key_id)).etag
    found = await edited(
        lambda if_match: hub.keys.update(key_id, wanted, if_match=if_match), etag, force=force
    )
    return Shown(found, Fields(_fields(found)))


@hub_command(
    app,
    "rotate",
    "towonel key rotate --id 7GkX0yQmJ4s",
    "towonel key rotate --id 7GkX0yQmJ4s --grace 7d",
)
async def rotate(
    hub: HubClient,
    key_id: ItemId,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret still works: 0, 1h, 7d.")
    ] = "1h",
) -> Shown:
    """Give a key a new secret, and print it."""
    grace_s = seconds("--grace", grace, MAX_GRACE_S) or 0
    rotation = KeyRotation(grace_secs=grace_s)
    made = await once(lambda key: hub.keys.rotate(key_id, rotation, idempotency_key=key))
    return _secret(made, f"\nThe new key, shown this once; the old one works for {grace_s} s more:")


@hub_command(app, "revoke", "towonel key revoke --id 7GkX0yQmJ4s")
async def revoke(hub: HubClient, key_id: ItemId) -> Shown:
    """End a key: it opens nothing from now on."""
    await hub.keys.revoke(key_id)
    return Shown({"status": "revoked", "key_id": key_id}, f"revoked {key_id}")


def _secret(made: KeyOut, told: str) -> Shown:
    return Shown(made, Fields(_fields(made)), told, made.key)


def _fields(key: KeyItem) -> list[tuple[str, str]]:
    return [
        ("id", key.key_id),
        ("name", key.name),
        ("status", key.status),
        ("role", key.role),
        ("tenant", key.tenant_id or "every one"),
        ("created", shown_time(key.created_at)),
        ("expires", shown_time(key.expires_at)),
        ("last used", shown_time(key.last_used_at)),
        ("rotated", shown_time(key.rotated_at)),
    ]


def _row(key: KeyItem) -> tuple[str, ...]:
    expires, used = shown_time(key.expires_at), shown_time(key.last_used_at)
    return key.key_id, key.name, key.status, key.role, key.tenant_id or "", expires, used
