"""Backup and restore of a hub: its database, and on demand its keys under a passphrase."""

import contextlib
import io
import os
import secrets
import tarfile
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from towonel.hub.backup import copy
from towonel.hub.backup.archive import (
    KEYS,
    MANIFEST,
    Archive,
    Manifest,
    TableHead,
    table_file,
)
from towonel.hub.backup.copy import Content
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_read_only
from towonel.identity.backup import NONCE_BYTES, SALT_BYTES, seal, unseal
from towonel.wire import cbor
from towonel.wire.errors import Code, Denied, ProtocolError


def write(
    database: Database,
    path: Path,
    *,
    created_at: str,
    hub_version: str,
    keys: Mapping[str, bytes] | None = None,
    passphrase: str = "",
) -> Mapping[str, int]:
    """Write a backup of a database that may be in use; the file is whole or not there.

    Args:
        database: which one.
        path: of the file; it must not exist.
        created_at: the time, RFC 3339.
        hub_version: of the hub that writes it.
        keys: the hub's key files by name, to be sealed; left out if None.
        passphrase: for the keys.

    Raises:
        Denied: INVALID_REQUEST where the file exists, keys come without a passphrase, or no hub
            was started on the database yet.
    """
    if keys is not None and not passphrase:
        raise Denied(Code.INVALID_REQUEST, "keys are only written under a passphrase")
    with (
        open_read_only(database) as connection,
        _private(path) as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        content = copy.content_of(connection)
        tables = {name: _add_table(archive, content, name, path.parent) for name in content.columns}
        if keys is not None:
            _add(archive, KEYS, _seal(keys, passphrase))
        facts: dict[str, Any] = {"hub": hub_version, "created_at": created_at, "tables": tables}
        manifest = Manifest(revision=content.schema, has_keys=keys is not None, **facts)
        _add(archive, MANIFEST, manifest.model_dump_json(by_alias=True, indent=1).encode())
    return {name: table.rows for name, table in tables.items()}


def restore(database: Database, path: Path) -> Mapping[str, int]:
    """Fill a new database from a backup, all of it or nothing; returns the rows of each table.

    Raises:
        Denied: INVALID_REQUEST where the database has something in it, or the backup is of a newer
            hub.
        ProtocolError: MALFORMED for a file that is no backup, or not whole.
        OSError: where the file cannot be read.
    """
    with Archive.open(path) as archive:
        manifest = archive.manifest()
        columns = {name: table.columns for name, table in manifest.tables.items()}
        content = Content(manifest.revision, columns, archive.rows)
        return copy.fill(database, content, undoes=True)


def read_keys(path: Path, passphrase: str) -> dict[str, bytes]:
    """Return the key files in a backup, by name.

    Raises:
        Denied: UNAUTHORIZED for another passphrase, INVALID_REQUEST for a backup without keys.
        ProtocolError: MALFORMED.
        OSError: where the file cannot be read.
    """
    with Archive.open(path) as archive:
        if not archive.manifest().has_keys:
            raise Denied(Code.INVALID_REQUEST, "the backup was written without keys")
        found = cbor.decode(unseal(archive.head(KEYS), passphrase))
    if not isinstance(found, dict):
        raise ProtocolError(Code.MALFORMED, "the keys in the backup are not a map")
    keys: dict[str, bytes] = {}
    for name, value in cast(dict[object, object], found).items():
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise ProtocolError(Code.MALFORMED, "the keys in the backup are not bytes under names")
        keys[name] = value
    return keys


def copy_database(source: Database, target: Database) -> Mapping[str, int]:
    """Copy one database into a new one, of another kind or the same; the source stays as it is.

    Raises:
        Denied: INVALID_REQUEST where the target has something in it, or the source nothing.
    """
    with open_read_only(source) as connection:
        return copy.fill(target, copy.content_of(connection))


@contextlib.contextmanager
def _private(path: Path) -> Generator[IO[bytes]]:
    """Provide a file that only its owner reads, and that gets its name once it is whole."""
    try:
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:  # it names a temporary file, which no caller knows
        raise Denied(Code.INVALID_REQUEST, f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.link(unfinished, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise Denied(Code.INVALID_REQUEST, f"{path} exists already") from None
    finally:
        Path(unfinished).unlink()


def _add_table(archive: tarfile.TarFile, content: Content, name: str, folder: Path) -> TableHead:
    count = 0
    with tempfile.TemporaryFile(dir=folder) as spool:  # a tar's head tells the size first
        for row in content.rows(name):
            spool.write(cbor.encode(list(row)))
            count += 1
        member = _head(table_file(name), spool.tell())
        spool.seek(0)
        archive.addfile(member, spool)
    return TableHead(rows=count, columns=list(content.columns[name]))


def _seal(keys: Mapping[str, bytes], passphrase: str) -> bytes:
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    return seal(cbor.encode(dict(keys)), passphrase, salt=salt, nonce=nonce)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_head(name, len(content)), io.BytesIO(content))


def _head(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member
