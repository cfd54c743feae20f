"""Readers and writers of key files, and of secrets that must not be flags.

A key is 32 raw bytes, as in the original. Other users of the machine can see the flags of a command:
passphrases, tokens and backups come from files, from standard input or from a prompt.
"""

import contextlib
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from towonel.cli.errors import UsageError
from towonel.identity.keys import SEED_BYTES, TenantKey
from towonel.runtime import secretfile

MAX_TEXT_BYTES = 64 * 1024  # of a passphrase, a token or a backup
TENANT_KEY, AGENT_KEY = Path("tenant.key"), Path("agent.key")
_STDIN, _TERMINAL = Path("-"), Path("/dev/tty")

NewKeyPath = Annotated[
    Path,
    typer.Option(
        "--key-path", metavar="FILE", help="Where to write the key; never replaces a file."
    ),
]
KeyPath = Annotated[
    Path, typer.Option("--key-path", metavar="FILE", help="The tenant's key, 32 bytes.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Where the passphrase is; - reads standard input. [default: ask for it]",
        show_default=False,
        allow_dash=True,
    ),
]


def new_seed(path: Path) -> bytes:
    """Generate a key in a new file, and return its 32 bytes.

    Raises:
        UsageError: the file exists already, or cannot be created.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    write_seed(path, seed)
    return seed


def write_seed(path: Path, seed: bytes) -> None:
    """Write a key to a new file; errors as in `new_seed`."""
    try:
        secretfile.create(path, seed)
    except secretfile.SecretFileError as error:
        raise UsageError(f"--key-path: {error}") from error


def read_seed(path: Path) -> bytes:
    """Return the 32 bytes of a key.

    Raises:
        UsageError: the file cannot be read, other users may read it, or it has another size.
    """
    try:
        seed = secretfile.read(path)
    except secretfile.SecretFileError as error:
        raise UsageError(f"--key-path: {error}") from error
    if len(seed) != SEED_BYTES:
        raise UsageError(f"--key-path: {path}: has {len(seed)} bytes, a key has {SEED_BYTES}")
    return seed


def read_tenant_key(path: Path) -> TenantKey:
    """Return the key of a tenant; errors as in `read_seed`."""
    return TenantKey.from_seed(read_seed(path))


def read_passphrase(file: Path | None, *, is_new: bool) -> str:
    """Return the passphrase in a file, or ask for it, twice where it `is_new`.

    Raises:
        UsageError: where it is empty, or there is neither a file nor a terminal.
    """
    if file is None:
        if not _has_terminal():
            raise UsageError("--passphrase-file: needed where there is no terminal to ask at")
        return _prompt("Passphrase", is_new=is_new)
    # Only the end of the line goes: a passphrase that is typed may begin or end with a space.
    text = read_text("--passphrase-file", file).removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError("--passphrase-file: is empty")
    return text


def ask_secret(what: str, without_terminal: str) -> str:
    """Read a secret from a prompt without echo, or from standard input if that is not a terminal.

    Raises:
        UsageError: `without_terminal`, if standard input is empty.
    """
    if sys.stdin is None:
        raise UsageError(without_terminal)
    if sys.stdin.isatty():
        return _prompt(what)
    text = read_text("standard input", _STDIN).strip()
    if not text:
        raise UsageError(without_terminal)
    return text


def read_text(flag: str, file: Path) -> str:
    """Return the text in a file, or on standard input for `-`; bytes that are not UTF-8 are kept.

    Raises:
        UsageError: where it cannot be read, or has more than 64 KiB.
    """
    try:
        if file == _STDIN:
            if sys.stdin is None:
                raise UsageError(f"{flag}: standard input is closed")
            data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{flag}: {file}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_TEXT_BYTES:
        raise UsageError(f"{flag}: {file}: has more than {MAX_TEXT_BYTES} bytes")
    return data.decode(errors="surrogateescape")


def _prompt(what: str, *, is_new: bool = False) -> str:
    try:
        return str(typer.prompt(what, hide_input=True, confirmation_prompt=is_new, err=True))
    except typer.Abort:  # Ctrl-C ends with the same code everywhere
        raise KeyboardInterrupt from None


def _has_terminal() -> bool:
    with contextlib.suppress(OSError):
        _TERMINAL.open("rb").close()  # where the prompt is, also when standard input is a pipe
        return True
    return False
