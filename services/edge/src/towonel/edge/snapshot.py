"""Snapshot of the routes on disk, from which an edge starts when its hub does not answer.

    | "towonel routes 1" (16) | SHA-256 of the rest (32) | hub id (32) | route delta, CBOR ... |

The file is written whole or not at all. A file that is broken in any way is ignored.
"""

import asyncio
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from towonel.runtime import secretfile
from towonel.runtime.logs import describe_error
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import ID_BYTES, HubId
from towonel.wire.routes import MAX_DELTA_BYTES, RouteDelta, decode_delta, encode_delta

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SNAPSHOT_FILE = "routes.snapshot"
MAGIC = b"towonel routes 1"
HASH_BYTES = 32
HEADER_BYTES = len(MAGIC) + HASH_BYTES + ID_BYTES


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Snapshot of all routes of one hub."""

    hub_id: HubId
    routes: RouteDelta


def encode(snapshot: Snapshot) -> bytes:
    """Return the file's content."""
    body = snapshot.hub_id + encode_delta(snapshot.routes)
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes) -> Snapshot:
    """Return what the file holds.

    Raises:
        ProtocolError: what is wrong with it.
    """
    body = data[len(MAGIC) + HASH_BYTES :]
    if not data.startswith(MAGIC) or len(data) <= HEADER_BYTES:
        raise ProtocolError(Code.MALFORMED, "not a file of routes")
    if hashlib.sha256(body).digest() != data[len(MAGIC) : len(MAGIC) + HASH_BYTES]:
        raise ProtocolError(Code.MALFORMED, "its hash does not match")
    routes = decode_delta(body[ID_BYTES:])
    if not routes.snapshot:
        raise ProtocolError(Code.MALFORMED, "not all routes")
    return Snapshot(HubId(body[:ID_BYTES]), routes)


class SnapshotFile:
    """File of one snapshot, used from the event loop: disk and encoding are left to threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_failing = False
        self._writing = threading.Lock()  # a save outlives its cancellation, in its thread

    async def load(self) -> Snapshot | None:
        """Return the last snapshot, or None if it is missing or unusable."""
        try:
            return await asyncio.to_thread(self._load)
        except FileNotFoundError:
            return None
        except (OSError, ProtocolError) as error:
            log.warning("snapshot.read_failed", path=str(self._path), error=describe_error(error))
            return None

    async def save(self, snapshot: Snapshot) -> str | None:
        """Replace the file, or return why that failed; it is logged once, and the edge goes on."""
        try:
            await asyncio.to_thread(self._save, snapshot)
        except OSError as error:
            if not self._is_failing:
                reason = describe_error(error)
                log.warning("snapshot.write_failed", path=str(self._path), error=reason)
            self._is_failing = True
            return f"{self._path}: {error.strerror or describe_error(error)}"
        self._is_failing = False
        return None

    async def remove(self) -> None:
        """Remove the file; one that stays is used by the next start, until the hub has answered."""
        try:
            await asyncio.to_thread(self._remove)
        except OSError as error:
            reason = describe_error(error)
            log.warning("snapshot.write_failed", path=str(self._path), error=reason)

    def _remove(self) -> None:
        with self._writing:
            self._path.unlink(missing_ok=True)

    def _load(self) -> Snapshot:
        with self._path.open("rb") as file:
            return decode(file.read(HEADER_BYTES + MAX_DELTA_BYTES + 1))

    def _save(self, snapshot: Snapshot) -> None:
        with self._writing:
            secretfile.replace(self._path, encode(snapshot))
