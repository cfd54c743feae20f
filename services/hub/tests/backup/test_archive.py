"""Backups that are damaged, cut off or made up: refused in words, and the database stays as it was."""

import contextlib
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from support.schema_0001 import make_first

from towonel.hub.backup import backup, copy
from towonel.hub.backup.archive import MAX_ROW_BYTES
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import newest_revision, schema_of
from towonel.hub.store.db.offline import open_read_only
from towonel.wire.errors import Code, Denied, ProtocolError

FEW = settings(  # each restores a database
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NONCE = ["d", b"s", 8]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup as it should be."""
    folder = tmp_path_factory.mktemp("sound")
    database = Database.in_file(folder / "hub.db")
    make_first(database)
    backup.write(database, folder / "b", created_at="2026-01-01T00:00:00Z", hub_version="1")
    return (folder / "b").read_bytes()


def restored(folder: Path, content: bytes) -> Database:
    """Restore it; where that fails, nothing may be there."""
    (folder / "b").write_bytes(content)
    database = Database.in_file(folder / "new.db")
    try:
        backup.restore(database, folder / "b")
    except Exception:
        if (folder / "new.db").exists():
            with open_read_only(database) as connection:
                assert schema_of(connection) is None
                assert copy.reflect_tables(connection) == []
        assert {path.name for path in folder.iterdir()} <= {
            "b",
            "new.db",
            "new.db-wal",
            "new.db-shm",
        }
        raise
    return database


def files_in(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in found.items() if file}


def archive(files: Mapping[str, bytes], *others: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in others:
            tar.addfile(member)
    return content.getvalue()


def with_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        files = files_in(content)
        manifest = json.loads(files["manifest.json"])
        change(manifest)
        return archive(files | {"manifest.json": json.dumps(manifest).encode()})

    return changed


def with_file(name: str, data: bytes) -> Callable[[bytes], bytes]:
    return lambda content: archive(files_in(content) | {name: data})


def with_nonces(*rows: object) -> Callable[[bytes], bytes]:
    return with_file("tables/nonces.cbor", b"".join(map(cbor2.dumps, rows)))


def without(name: str) -> Callable[[bytes], bytes]:
    return lambda content: archive({k: v for k, v in files_in(content).items() if k != name})


def linked(kind: bytes, name: str, target: str) -> Callable[[bytes], bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return lambda content: archive(
        {k: v for k, v in files_in(content).items() if k != name}, member
    )


def inflating(content: bytes) -> bytes:
    """A head of four gigabytes of zeros, in a few megabytes."""
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 1 << 32
    return gzip.compress(member.tobuf() + bytes(MAX_ROW_BYTES + 512))


def tables(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["tables"]
    return found


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "has no file manifest.json|is no backup"),
    "no gzip": (gzip.decompress, "is no backup"),
    "no tar": (lambda _: gzip.compress(b"x" * 2000), "is no backup"),
    "something behind it": (lambda content: content + b"x", "is no backup"),
    "no manifest": (without("manifest.json"), "has no file manifest.json"),
    "no table": (without("tables/nonces.cbor"), "has no file tables/nonces.cbor"),
    "a table that is a link": (
        linked(tarfile.SYMTYPE, "tables/nonces.cbor", "../../etc/passwd"),
        "has no file tables/nonces.cbor",
    ),
    "a link to itself": (
        linked(tarfile.LNKTYPE, "tables/nonces.cbor", "tables/nonces.cbor"),
        "has no file tables/nonces.cbor",
    ),
    "a table that is a device": (
        linked(tarfile.CHRTYPE, "tables/nonces.cbor", ""),
        "has no file tables/nonces.cbor",
    ),
    "too many files": (
        lambda content: archive(files_in(content) | {f"x{n}": b"" for n in range(100)}),
        "more than 100 files",
    ),
    "a head that inflates": (inflating, "bytes at once"),
    "another format": (with_manifest(lambda m: m.update(format="tar")), "format: must be"),
    "a manifest that is a list": (with_file("manifest.json", b"[]"), "manifest"),
    "a manifest that nests": (with_file("manifest.json", b"[" * 100_000), "manifest"),
    "endless rows": (with_file("manifest.json", b'{"tables": {"x": {"rows": 1e999}}}'), "manifest"),
    "a newer schema": (with_manifest(lambda m: m.update(schema="9999")), "is of a newer hub"),
    "a schema that is a command": (with_manifest(lambda m: m.update(schema="+1")), "newer hub"),
    "the schema heads": (with_manifest(lambda m: m.update(schema="heads")), "newer hub"),
    "another schema": (
        with_manifest(lambda m: m.update(schema=newest_revision())),
        "not the tables of schema",
    ),
    "a table too few": (with_manifest(lambda m: tables(m).pop("nonces")), "not the tables"),
    "a table out of the way": (
        with_manifest(lambda m: tables(m).update({"../x": tables(m)["nonces"]})),
        "not the tables",
    ),
    "a column that is SQL": (
        with_manifest(lambda m: tables(m)["nonces"].update(columns=["a", "b", 'c") VALUES (1)--'])),
        "not the columns of nonces",
    ),
    "a column twice": (
        with_manifest(lambda m: tables(m)["nonces"].update(columns=["domain", "domain", "signer"])),
        "not the columns of nonces",
    ),
    "rows too few": (with_nonces(), "lacks rows, or one is too large"),
    "rows too many": (with_nonces(NONCE, ["e", b"s", 8]), "more rows"),
    "fewer than none": (
        with_manifest(lambda m: tables(m)["nonces"].update(rows=-1)),
        "has more rows",
    ),
    "a row that is none": (with_nonces({"domain": "d"}), "has no rows"),
    "a short row": (with_nonces(NONCE[:2]), "a row that is none of nonces"),
    "a long row": (with_nonces([*NONCE, 1]), "a row that is none of nonces"),
    "text for bytes": (with_nonces(["d", "s", 8]), "a row that is none of nonces"),
    "a flag for a number": (with_nonces(["d", b"s", True]), "a row that is none of nonces"),
    "a fraction": (with_nonces(["d", b"s", 8.5]), "a row that is none of nonces"),
    "nothing for a key": (with_nonces(["d", None, 8]), "a row that is none of nonces"),
    "a number beyond 64 bits": (with_nonces(["d", b"s", 1 << 63]), "a row that is none of nonces"),
    "a list in a row": (with_nonces(["d", [], 8]), "a row that is none of nonces"),
    "a row that nests": (with_file("tables/nonces.cbor", b"\x81" * 100_000), "too large"),
    "a row of a promised size": (
        with_file("tables/nonces.cbor", b"\x9b" + b"\x7f" * 8),
        "lacks rows, or one is too large",
    ),
    "a text of a promised size": (
        with_file("tables/nonces.cbor", b"\x83\x7b" + b"\x7f" * 8),
        "lacks rows, or one is too large",
    ),
    "a row too large": (
        with_nonces(["d" * (MAX_ROW_BYTES + 1), b"s", 8]),
        "lacks rows, or one is too large",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_backup_of_ours_is_refused_and_changes_nothing(
    sound: bytes, tmp_path: Path, what: str
) -> None:
    make, reason = HOSTILE[what]

    with pytest.raises((Denied, ProtocolError), match=reason) as caught:
        restored(tmp_path, make(sound))
    assert caught.value.code in {Code.MALFORMED, Code.TOO_LARGE, Code.INVALID_REQUEST}


def test_a_backup_cut_off_anywhere_is_refused(sound: bytes, tmp_path: Path) -> None:
    for end in range(0, len(sound), max(1, len(sound) // 60)):
        with pytest.raises(ProtocolError):
            restored(tmp_path, sound[:end])


def test_a_byte_that_changed_anywhere_is_noticed(sound: bytes, tmp_path: Path) -> None:
    head = 10  # of gzip: its time and system are not in the checksum, and nobody reads them
    for place in range(head, len(sound), max(1, len(sound) // 120)):
        changed = bytearray(sound)
        changed[place] ^= 1 << place % 8
        with pytest.raises(ProtocolError, match="is no backup, or damaged"):
            restored(tmp_path, bytes(changed))


@given(data=st.binary(max_size=64))
@FEW
def test_garbage_for_a_table_is_refused_in_words(sound: bytes, tmp_path: Path, data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        restored(tmp_path, with_file("tables/nonces.cbor", data)(sound))


@given(
    rows=st.lists(
        st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), max_size=4),
        min_size=1,
        max_size=2,
    )
)
@FEW
def test_any_rows_are_taken_or_refused_in_words(
    sound: bytes, tmp_path: Path, rows: list[list[object]]
) -> None:
    made = with_manifest(lambda m: tables(m)["nonces"].update(rows=len(rows)))(
        with_nonces(*rows)(sound)
    )
    for path in tmp_path.glob("new.db*"):
        path.unlink()

    with contextlib.suppress(ProtocolError, IntegrityError):
        restored(tmp_path, made)
