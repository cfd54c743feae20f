"""Archive of a backup: a gzipped tar of a manifest, every table, and the hub's sealed keys.

manifest.json      {format, hub, schema, created_at, tables: {name: {rows, columns}}, has_keys}
tables/<name>.cbor a sequence of CBOR arrays, one a row (RFC 8742)
keys.sealed        node.key, operator.key and invite_hash.key: argon2id and AES-256-GCM
"""

import contextlib
import gzip
import io
import tarfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self, cast, override

import cbor2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from towonel.api.rules import describe_rule
from towonel.wire.errors import Code, ProtocolError

MANIFEST, KEYS = "manifest.json", "keys.sealed"
MAX_MEMBERS = 100  # a backup has a dozen tables
MAX_HEAD_BYTES = 1024 * 1024  # of the manifest, and of the keys
MAX_ROW_BYTES = 16 * 1024 * 1024  # the largest is an edge's report
_CHUNK_BYTES = 1024 * 1024


class TableHead(BaseModel):
    """Manifest of one table: how many rows it has, and their columns."""

    model_config = ConfigDict(frozen=True, strict=True)
    rows: int
    columns: list[str]


class Manifest(BaseModel):
    """Manifest of a backup."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)
    format: Literal["towonel-backup-v1"] = "towonel-backup-v1"
    hub: str
    revision: str = Field(validation_alias="schema", serialization_alias="schema")
    created_at: str
    tables: dict[str, TableHead]
    has_keys: bool


@dataclass(frozen=True, slots=True)
class Archive:
    """Reader of a backup whose checksum was verified.

    Args:
        tar: its content.
        members: its files, by name; links and folders are not among them.
    """

    tar: tarfile.TarFile
    members: Mapping[str, tarfile.TarInfo]

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Generator[Self]:
        """Open a backup, and check that it is whole.

        Raises:
            ProtocolError: MALFORMED for a file that is no backup, cut off, or damaged.
            OSError: where the file cannot be read.
        """
        with path.open("rb") as file, _Inflated(fileobj=file) as content:
            with _malformed(f"{path} is no backup, or damaged"):
                content.check_whole()
                tar = tarfile.TarFile(fileobj=cast("IO[bytes]", content))
                members = _members(tar)
            yield cls(tar, members)

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            ProtocolError: MALFORMED.
        """
        try:
            return Manifest.model_validate_json(self.head(MANIFEST))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ProtocolError(
                Code.MALFORMED,
                f"the backup's manifest: {where or 'all of it'}: {describe_rule(first)}",
            ) from None

    def head(self, name: str) -> bytes:
        """Return a small file."""
        with self._file(name) as content:
            return content.read(MAX_HEAD_BYTES)

    def rows(self, table: str) -> Iterator[list[object]]:
        """Yield the rows of a table, as many as the manifest says."""
        row_count = self.manifest().tables[table].rows
        with self._file(table_file(table)) as file:
            content = _Bounded(file)
            decoder = cbor2.CBORDecoder(cast("IO[bytes]", content), max_depth=2)
            for _ in range(row_count):
                content.left = MAX_ROW_BYTES
                with _malformed(f"the backup's table {table} lacks rows, or one is too large"):
                    row = decoder.decode()
                if not isinstance(row, list):
                    raise ProtocolError(Code.MALFORMED, f"the backup's table {table} has no rows")
                yield cast("list[object]", row)
            if content.read(1):
                raise ProtocolError(Code.MALFORMED, f"the backup's table {table} has more rows")

    def _file(self, name: str) -> IO[bytes]:
        content = self.tar.extractfile(self.members[name]) if name in self.members else None
        if content is None:
            raise ProtocolError(Code.MALFORMED, f"the backup has no file {name}")
        return content


def table_file(name: str) -> str:
    """Return the name of a table's file."""
    return f"tables/{name}.cbor"


def _members(tar: tarfile.TarFile) -> Mapping[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for _ in range(MAX_MEMBERS):
        member = tar.next()
        if member is None:
            return found
        if member.type == tarfile.REGTYPE:  # a link could lead anywhere, also to itself
            found[member.name] = member
    raise ProtocolError(Code.MALFORMED, f"more than {MAX_MEMBERS} files in a backup")


@contextlib.contextmanager
def _malformed(what: str) -> Generator[None]:
    try:
        yield
    except ProtocolError:
        raise
    except Exception as error:  # gzip, tar and CBOR from strangers fail in many ways
        raise ProtocolError(Code.MALFORMED, what) from error


class _Inflated(gzip.GzipFile):
    """Bounded reader of a gzip, which can inflate without end: a read returns no more than fits."""

    def check_whole(self) -> None:
        """Read it to its end, where the checksum is, and go back."""
        while self.read(_CHUNK_BYTES):
            pass
        self.seek(0)

    @override
    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_ROW_BYTES:
            raise ProtocolError(Code.TOO_LARGE, f"{size} bytes at once in a backup")
        return super().read(size)


class _Bounded(io.RawIOBase):
    """Bounded reader: the row that is decoded may take `left` bytes more."""

    def __init__(self, content: IO[bytes]) -> None:
        super().__init__()
        self._content = content
        self.left = 1

    @override
    def readable(self) -> bool:
        return True

    @override
    def read(self, size: int = -1, /) -> bytes:
        self.left -= size
        if self.left < 0:
            raise ProtocolError(Code.TOO_LARGE, f"a row of more than {MAX_ROW_BYTES} bytes")
        return self._content.read(size)
