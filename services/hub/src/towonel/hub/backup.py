"""Backups: a gzipped tar of a manifest, every table, and, where wanted, the hub's keys under a passphrase.

manifest.json      {format, hub, schema, created_at, tables: {name: {rows, columns}}, has_keys}
tables/<name>.cbor a sequence of CBOR arrays, one a row (RFC 8742)
keys.sealed        node.key, operator.key and invite_hash.key: argon2id and AES-256-GCM
"""

import contextlib
import io
import json
import os
import secrets
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast, override

import cbor2
from sqlalchemy import Connection, Table

from towonel.hub.store import copying
from towonel.hub.store.copying import Row
from towonel.hub.store.database import Database
from towonel.hub.store.migrate import newest_revision, upgrade
from towonel.identity.backup import NONCE_BYTES, SALT_BYTES, seal, unseal
from towonel.wire import cbor
from towonel.wire.errors import Code, Denied, ProtocolError

FORMAT = "towonel-backup-v1"
MAX_MEMBER_BYTES = 8 * 1024**3
MAX_HEAD_BYTES = 1024 * 1024  # of the manifest, and of the keys
MAX_ROW_BYTES = 16 * 1024 * 1024  # the largest is an edge's report
_MANIFEST, _KEYS = "manifest.json", "keys.sealed"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds: rows and columns of each table."""

    schema: str
    tables: Mapping[str, int]
    columns: Mapping[str, Sequence[str]]
    has_keys: bool


def write(
    database: Database,
    path: Path,
    *,
    created_at: str,
    hub_version: str,
    keys: Mapping[str, bytes] | None = None,
    passphrase: str = "",
) -> Summary:
    """Write a backup of a database that may be in use; the file is whole or not there.

    Args:
        database: which one.
        path: of the file; it must not exist.
        created_at: the time, RFC 3339.
        hub_version: of the hub that writes it.
        keys: the hub's key files by name, to be sealed; none leaves them out.
        passphrase: for the keys.

    Raises:
        Denied: INVALID_REQUEST where the file exists, keys come without a passphrase, or the
            database is of another version of the hub.
    """
    if keys is not None and not passphrase:
        raise Denied(Code.INVALID_REQUEST, "keys are only written under a passphrase")
    with _private(path) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        summary = _add_tables(archive, database, has_keys=keys is not None)
        if keys is not None:
            salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
            _add(archive, _KEYS, seal(cbor.encode(dict(keys)), passphrase, salt=salt, nonce=nonce))
        _add(archive, _MANIFEST, _manifest(summary, created_at, hub_version))
    return summary


def restore(database: Database, path: Path) -> Summary:
    """Fill a new database from a backup, all of it or nothing, and bring it to the newest schema.

    Raises:
        Denied: INVALID_REQUEST where the database has something in it, or the backup is of a newer
            hub.
        ProtocolError: MALFORMED for a file that is no backup, or not whole.
    """
    with _opened(path) as archive:
        summary = _summary(archive)
        upgrade(database, summary.schema)
        with copying.writing(database) as connection:
            copying.check_empty(connection, summary.tables)
            for name, rows in summary.tables.items():
                columns = summary.columns[name]
                if copying.fill(connection, name, columns, _rows(archive, name)) != rows:
                    raise ProtocolError(Code.MALFORMED, f"the backup lacks rows of {name}")
            copying.go_on_counting(connection)
    upgrade(database)
    return summary


def read_keys(path: Path, passphrase: str) -> dict[str, bytes]:
    """Return the key files in a backup, by name; none where it has none.

    Raises:
        Denied: UNAUTHORIZED for another passphrase.
        ProtocolError: MALFORMED.
    """
    with _opened(path) as archive:
        if not _summary(archive).has_keys:
            return {}
        found = cbor.decode(unseal(_member(archive, _KEYS).read(MAX_HEAD_BYTES), passphrase))
    if not isinstance(found, dict):
        raise ProtocolError(Code.MALFORMED, "the keys in the backup are not a map")
    keys: dict[str, bytes] = {}
    for name, value in cast(dict[object, object], found).items():
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise ProtocolError(Code.MALFORMED, "the keys in the backup are not bytes under names")
        keys[name] = value
    return keys


def copy(source: Database, target: Database) -> Mapping[str, int]:
    """Copy one database into a new one of another kind; returns the rows of each table.

    Raises:
        Denied: INVALID_REQUEST where the target has something in it.
    """
    upgrade(source)
    upgrade(target)
    with copying.reading(source) as reader, copying.writing(target) as writer:
        tables = copying.tables()
        copying.check_empty(writer, [table.name for table in tables])
        counts: dict[str, int] = {}
        for table in tables:
            rows = copying.rows_of(reader, table)
            counts[table.name] = copying.fill(writer, table.name, copying.columns_of(table), rows)
        copying.go_on_counting(writer)
    return counts


@contextlib.contextmanager
def _private(path: Path) -> Generator[IO[bytes]]:
    """Provide a file that nobody else reads, and that has its name once it is whole."""
    try:
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
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


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:gz")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ProtocolError(Code.MALFORMED, f"{path} is no backup: {error}") from error


def _add_tables(archive: tarfile.TarFile, database: Database, *, has_keys: bool) -> Summary:
    tables = copying.tables()
    with copying.reading(database) as connection:
        schema = copying.schema_of(connection)
        if schema != newest_revision():
            raise Denied(
                Code.INVALID_REQUEST,
                f"the database has schema {schema}; start this version's hub on it once",
            )
        counts = {table.name: _add_table(archive, connection, table) for table in tables}
    columns = {table.name: copying.columns_of(table) for table in tables}
    return Summary(schema, counts, columns, has_keys)


def _add_table(archive: tarfile.TarFile, connection: Connection, table: Table) -> int:
    count = 0
    with tempfile.TemporaryFile() as spool:  # a tar's head tells the size first
        for row in copying.rows_of(connection, table):
            spool.write(cbor.encode(list(row)))
            count += 1
        member = _head(f"tables/{table.name}.cbor", spool.tell())
        spool.seek(0)
        archive.addfile(member, spool)
    return count


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_head(name, len(content)), io.BytesIO(content))


def _head(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _manifest(summary: Summary, created_at: str, hub_version: str) -> bytes:
    manifest = {
        "format": FORMAT,
        "hub": hub_version,
        "schema": summary.schema,
        "created_at": created_at,
        "tables": {
            name: {"rows": rows, "columns": summary.columns[name]}
            for name, rows in summary.tables.items()
        },
        "has_keys": summary.has_keys,
    }
    return json.dumps(manifest, indent=1).encode()


def _summary(archive: tarfile.TarFile) -> Summary:
    try:
        found = json.loads(_member(archive, _MANIFEST).read(MAX_HEAD_BYTES))
        tables = {table.name: found["tables"].get(table.name) for table in copying.tables()}
        held = {name: told for name, told in tables.items() if told is not None}
        summary = Summary(
            str(found["schema"]),
            {name: int(told["rows"]) for name, told in held.items()},
            {name: [str(column) for column in told["columns"]] for name, told in held.items()},
            bool(found["has_keys"]),
        )
        known = found["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(Code.MALFORMED, f"the backup's manifest: {error!r}") from error
    if not known:
        raise ProtocolError(Code.MALFORMED, "a backup of a form that is not known here")
    if summary.schema > newest_revision():
        raise Denied(Code.INVALID_REQUEST, "the backup is of a newer hub; use that to restore it")
    return summary


def _rows(archive: tarfile.TarFile, name: str) -> Iterator[Row]:
    content = _Bounded(_member(archive, f"tables/{name}.cbor"))
    decoder = cbor2.CBORDecoder(cast(IO[bytes], content))
    while True:
        content.left = MAX_ROW_BYTES
        try:
            row = decoder.decode()
        except cbor2.CBORDecodeEOF:
            return
        except Exception as error:
            raise ProtocolError(Code.MALFORMED, f"the backup's table {name}") from error
        if not isinstance(row, list):
            raise ProtocolError(Code.MALFORMED, f"the backup's table {name}")
        yield row


class _Bounded(io.RawIOBase):
    """Content of which one row may take `left` bytes more: an archive can inflate without end."""

    def __init__(self, content: IO[bytes]) -> None:
        super().__init__()
        self._content = content
        self.left = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def read(self, size: int = -1, /) -> bytes:
        self.left -= size
        if self.left < 0:
            raise ProtocolError(Code.TOO_LARGE, f"a row of more than {MAX_ROW_BYTES} bytes")
        return self._content.read(size)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        member = archive.getmember(name)
        content = archive.extractfile(member) if member.size <= MAX_MEMBER_BYTES else None
    except (KeyError, tarfile.TarError, EOFError, OSError):
        content = None
    if content is None:
        raise ProtocolError(Code.MALFORMED, f"the backup has no {name}, or is cut off")
    return content
