"""Credentials of this edge: its key, and the certificate that the hub names to agents."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from towonel.edge.settings import EdgeSettings
from towonel.identity import certs
from towonel.identity.hub_proof import make_hub_proof
from towonel.identity.keys import SEED_BYTES, NodeKey, describe_bad_seed
from towonel.runtime import secretfile
from towonel.runtime.logs import describe_error
from towonel.runtime.secretfile import SecretFileError
from towonel.wire.errors import Denied

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CERTIFICATE_FILE = "edge-cert.pem"
RENEW_BEFORE = timedelta(days=30)  # an edge that is never restarted has this long to be


@dataclass(frozen=True, slots=True)
class EdgeCredentials:
    """Key of an edge and its certificate."""

    key: NodeKey
    certificate_pem: str


def load_credentials(settings: EdgeSettings, now: datetime) -> EdgeCredentials:
    """Return the credentials of this edge; a missing key or certificate is created and stored.

    The key is the token's, else the file's, which a hub on the same machine shares. The certificate
    on disk is used while it is this key's and valid, so that agents need not learn a new one.

    Raises:
        SecretFileError: a file cannot be read or written, or is open to others, or holds no key.
    """
    key = _load_key(settings)
    path = settings.state_folder / CERTIFICATE_FILE
    pem = _read_certificate(path, key, now)
    if pem is None:
        pem = certs.create_certificate(key, now)
        _save_certificate(path, pem, settings.state_variable)
    return EdgeCredentials(key, pem)


def find_hub_proof(settings: EdgeSettings, credentials: EdgeCredentials) -> bytes:
    """Return the proof of an edge that has its hub's key; empty for one with a token."""
    return make_hub_proof(credentials.key) if settings.token is None else b""


def find_key_problems(settings: EdgeSettings) -> list[str]:
    """Return what is wrong with the key's file, if there is one and it is used; none is made."""
    if settings.token is not None:
        return []
    try:
        _read_seed(settings, lambda path: secretfile.read(path) if path.exists() else None)
    except SecretFileError as error:
        return [str(error)]
    return []


def _load_key(settings: EdgeSettings) -> NodeKey:
    if settings.token is not None:
        return NodeKey.from_seed(settings.token.seed)
    seed = _read_seed(
        settings, lambda path: secretfile.load_or_create(path, lambda: os.urandom(SEED_BYTES))
    )
    if seed is None:
        raise AssertionError("settings ask for a token or a key path, and a missing file was made")
    return NodeKey.from_seed(seed)


def _read_seed(settings: EdgeSettings, read_file: Callable[[Path], bytes | None]) -> bytes | None:
    path = settings.key_path
    try:
        seed = None if path is None else read_file(path)
    except (OSError, SecretFileError) as error:
        raise SecretFileError(f"{settings.key_variable}: {error}") from error
    problem = None if seed is None else describe_bad_seed(seed)
    if problem is not None:
        raise SecretFileError(f"{settings.key_variable}: {path}: {problem}")
    return seed


def _read_certificate(path: Path, key: NodeKey, now: datetime) -> str | None:
    try:
        pem = path.read_text("ascii")
        is_ours = certs.certificate_public_key(pem) == key.public
        is_valid = certs.not_before(pem) <= now < certs.not_after(pem) - RENEW_BEFORE
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, Denied) as error:
        log.warning("certificate.read_failed", path=str(path), error=describe_error(error))
        return None
    return pem if is_ours and is_valid else None


def _save_certificate(path: Path, pem: str, variable: str) -> None:
    try:
        secretfile.replace(path, pem.encode())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SecretFileError(f"{variable}: {path}: cannot be written: {reason}") from error


def to_datetime(now_ms: int) -> datetime:
    """Return a wall-clock time in Unix milliseconds as a datetime."""
    return datetime.fromtimestamp(now_ms / 1000, UTC)


def read_clock() -> datetime:
    """Return the wall-clock time."""
    return to_datetime(time.time_ns() // 1_000_000)
