"""`towonel tenant init`, `public-key`, `export-key`, `import-key` and `key-from-token`: the tenant's own key."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from towonel.cli.command import local_command
from towonel.cli.errors import UsageError
from towonel.cli.key_files import (
    TENANT_KEY,
    KeyPath,
    NewKeyPath,
    PassphraseFile,
    ask_secret,
    new_seed,
    read_passphrase,
    read_seed,
    read_tenant_key,
    read_text,
    write_seed,
)
from towonel.cli.output import Fields, Output
from towonel.cli.settings import TokenSettings
from towonel.identity.backup import NONCE_BYTES, SALT_BYTES, export_key, import_key
from towonel.identity.keys import TenantKey
from towonel.runtime.settings import load
from towonel.wire import base64url
from towonel.wire.tokens import InviteToken

app = typer.Typer()


@local_command(app, "init", "towonel tenant init", "towonel tenant init --key-path home.key")
def init(key_path: NewKeyPath = TENANT_KEY) -> Output:
    """Make a tenant's key. Print what the hub's operator needs to let it in."""
    return _render_key(key_path, TenantKey.from_seed(new_seed(key_path)))


@local_command(app, "public-key", "towonel tenant public-key --key-path home.key")
def public_key(key_path: KeyPath = TENANT_KEY) -> Output:
    """Print a tenant's id and public key again. Neither is a secret."""
    return _render_key(key_path, read_tenant_key(key_path))


@local_command(
    app,
    "export-key",
    "towonel tenant export-key",
    "towonel tenant export-key --key-path home.key --passphrase-file passphrase.txt > home.backup",
)
def export_tenant_key(
    key_path: KeyPath = TENANT_KEY, passphrase_file: PassphraseFile = None
) -> Output:
    """Print a tenant's key as text, encrypted with a passphrase."""
    seed = read_seed(key_path)
    backup = export_key(
        seed,
        read_passphrase(passphrase_file, is_new=True),
        salt=secrets.token_bytes(SALT_BYTES),
        nonce=secrets.token_bytes(NONCE_BYTES),
    )
    tenant_id = TenantKey.from_seed(seed).tenant_id.hex()
    return Output({"tenant_id": tenant_id, "backup": backup}, backup)


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
            help="The same in a file, which keeps it secret; - reads standard input.",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
    key_path: NewKeyPath = TENANT_KEY,
    passphrase_file: PassphraseFile = None,
) -> Output:
    """Bring a tenant's key back from its backup."""
    text = _read_backup(backup, backup_file, passphrase_file)
    seed = import_key(text, read_passphrase(passphrase_file, is_new=False))
    write_seed(key_path, seed)
    return _render_key(key_path, TenantKey.from_seed(seed))


@local_command(
    app,
    "key-from-token",
    "TOWONEL_INVITE_TOKEN_FILE=token.txt towonel tenant key-from-token",
    "towonel tenant key-from-token --key-path home.key < token.txt",
)
def key_from_token(key_path: NewKeyPath = TENANT_KEY) -> Output:
    """Write the key that an invite token holds. Reads TOWONEL_INVITE_TOKEN or standard input."""
    token_setting = load(TokenSettings).invite_token
    text = (
        ask_secret("Token", "set TOWONEL_INVITE_TOKEN or _FILE, or give it on standard input")
        if token_setting is None
        else token_setting.get_secret_value()
    )
    token = InviteToken.decode(text)
    write_seed(key_path, token.seed)
    return _render_key(key_path, TenantKey.from_seed(token.seed), token.hub_url)


def _read_backup(text: str | None, file: Path | None, passphrase_file: Path | None) -> str:
    if (text is None) == (file is None):
        raise UsageError("--backup-file or --backup: give one of them")
    if file is None:
        return text or ""
    if str(file) == "-" == str(passphrase_file):
        raise UsageError("--passphrase-file: standard input holds the backup already")
    return read_text("--backup-file", file)


def _render_key(path: Path, key: TenantKey, hub_url: str | None = None) -> Output:
    tenant_id, public = key.tenant_id.hex(), base64url.encode(key.public)
    fields = [("key", str(path)), ("tenant", tenant_id)]
    document: dict[str, object] = {
        "key_path": str(path),
        "tenant_id": tenant_id,
        "pq_public_key": public,
    }
    if hub_url is not None:
        return Output({**document, "hub_url": hub_url}, Fields([*fields, ("hub", hub_url)]))
    caption = "\nThe public key, which the hub's operator needs for TOWONEL_TENANTS:"
    return Output(document, Fields(fields), caption, public)
