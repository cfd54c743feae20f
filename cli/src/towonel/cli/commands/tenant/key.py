"""`towonel tenant`, of a tenant's own: make, keep and bring back its key, and leave a hub."""

import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import typer

from towonel.cli.command import hub_command, local_command
from towonel.cli.commands.tenant.tenants import app
from towonel.cli.key_files import (
    TENANT_KEY,
    KeyPath,
    NewKeyPath,
    PassphraseFile,
    ask_secret,
    new_seed,
    passphrase,
    read_seed,
    read_tenant_key,
    read_text,
    write_seed,
)
from towonel.cli.legacy.op_syntax import op_document, op_text
from towonel.cli.legacy.tenant_log import TenantLog, departures
from towonel.cli.output import Fields, Shown
from towonel.cli.settings import TokenSettings
from towonel.cli.usage import UsageError
from towonel.client.hub import HubClient
from towonel.identity.backup import NONCE_BYTES, SALT_BYTES, export_key, import_key
from towonel.identity.keys import TenantKey
from towonel.runtime.settings import load
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken

__all__ = ["app"]  # the group, now with these commands

_FOREIGN = {Code.HOSTNAME_NOT_OWNED, Code.HOSTNAME_CONFLICT}


@local_command(app, "init", "towonel tenant init", "towonel tenant init --key-path home.key")
def init(key_path: NewKeyPath = TENANT_KEY) -> Shown:
    """Make a tenant's key. Print what the hub's operator needs to let it in."""
    return _shown_key(key_path, TenantKey.from_seed(new_seed(key_path)))


@local_command(app, "public-key", "towonel tenant public-key --key-path home.key")
def public_key(key_path: KeyPath = TENANT_KEY) -> Shown:
    """Print a tenant's id and public key again. Neither is a secret."""
    return _shown_key(key_path, read_tenant_key(key_path))


@local_command(
    app,
    "export-key",
    "towonel tenant export-key",
    "towonel tenant export-key --key-path home.key --passphrase-file passphrase.txt > home.backup",
)
def export_tenant_key(
    key_path: KeyPath = TENANT_KEY, passphrase_file: PassphraseFile = None
) -> Shown:
    """Print a tenant's key as text, under a passphrase."""
    seed = read_seed(key_path)
    backup = export_key(
        seed,
        passphrase(passphrase_file, is_new=True),
        salt=secrets.token_bytes(SALT_BYTES),
        nonce=secrets.token_bytes(NONCE_BYTES),
    )
    tenant_id = TenantKey.from_seed(seed).tenant_id.hex()
    return Shown({"tenant_id": tenant_id, "backup": backup}, backup)


@local_command(
    app,
    "import-key",
    "towonel tenant import-key --backup-file home.backup --key-path home.key",
    "pass show tunnel | towonel tenant import-key --backup-file -",
)
def import_tenant_key(
    backup: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What `export-key` printed: towonel-key-v1:…", show_default=False
        ),
    ] = None,
    backup_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The same in a file, where nobody sees it; - reads standard input.",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
    key_path: NewKeyPath = TENANT_KEY,
    passphrase_file: PassphraseFile = None,
) -> Shown:
    """Bring a tenant's key back from its backup."""
    text = _backup(backup, backup_file, passphrase_file)
    seed = import_key(text, passphrase(passphrase_file, is_new=False))
    write_seed(key_path, seed)
    return _shown_key(key_path, TenantKey.from_seed(seed))


@local_command(
    app,
    "key-from-token",
    "TOWONEL_INVITE_TOKEN_FILE=token.txt towonel tenant key-from-token",
    "towonel tenant key-from-token --key-path home.key < token.txt",
)
def key_from_token(key_path: NewKeyPath = TENANT_KEY) -> Shown:
    """Write the key that an invite token holds. Reads TOWONEL_INVITE_TOKEN or standard input."""
    given = load(TokenSettings).invite_token
    text = (
        ask_secret("Token", "set TOWONEL_INVITE_TOKEN or _FILE, or give it on standard input")
        if given is None
        else given.get_secret_value()
    )
    token = InviteToken.decode(text)
    write_seed(key_path, token.seed)
    return _shown_key(key_path, TenantKey.from_seed(token.seed), token.hub_url)


@hub_command(
    app,
    "leave",
    "towonel tenant leave --key-path home.key",
    "towonel tenant leave --key-path home.key --hub-url https://hub.example.eu",
    needs_key=False,
)
async def leave(hub: HubClient, key_path: KeyPath = TENANT_KEY) -> AsyncGenerator[Shown]:
    """Take back all that a tenant's entries publish. What its agents publish ends with its invite."""
    tenant = read_tenant_key(key_path)
    log = TenantLog(hub, tenant)
    ops = departures(payload.op for payload in await log.read())
    document: dict[str, object] = {
        "tenant_id": tenant.tenant_id.hex(),
        "planned": [op_document(op) for op in ops],
    }
    if not ops:
        yield Shown(document, "There is nothing to take back.")
        return
    yield Shown(
        document,
        f"tenant {tenant.tenant_id.hex()} leaves {hub.base_url}:",
        *(f"  {op_text(op)}" for op in ops),
    )
    for op in ops:
        try:
            sequence = await log.append(op)
        except Denied as error:
            # A name that was taken from the tenant is published no more: there is nothing to undo.
            if error.code not in _FOREIGN:
                raise
            yield Shown(
                op_document(op) | {"skipped": error.code.word},
                f"skipped {op_text(op)}: {error.detail}",
            )
        else:
            yield Shown(op_document(op) | {"sequence": sequence}, f"done {op_text(op)}")


def _backup(text: str | None, file: Path | None, passphrase_file: Path | None) -> str:
    if (text is None) == (file is None):
        raise UsageError("--backup-file or --backup: give one of them")
    if file is None:
        return text or ""
    if str(file) == "-" == str(passphrase_file):
        raise UsageError("--passphrase-file: standard input holds the backup already")
    return read_text("--backup-file", file)


def _shown_key(path: Path, key: TenantKey, hub_url: str | None = None) -> Shown:
    tenant_id, public = key.tenant_id.hex(), base64url.encode(key.public)
    fields = [("key", str(path)), ("tenant", tenant_id)]
    document: dict[str, object] = {
        "key_path": str(path),
        "tenant_id": tenant_id,
        "pq_public_key": public,
    }
    if hub_url is not None:
        return Shown({**document, "hub_url": hub_url}, Fields([*fields, ("hub", hub_url)]))
    told = "\nThe public key, which the hub's operator needs for TOWONEL_TENANTS:"
    return Shown(document, Fields(fields), told, public)
