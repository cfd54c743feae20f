"""Credentials of this edge: its key, and the certificate that the hub names to agents."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from towonel.edge.settings import EdgeSettings
from towonel.identity import certs
from towonel.identity.keys import BLANK, SEED_BYTES, NodeKey, is_blank
from towonel.runtime import secretfile
from towonel.runtime.logs import describe_error
from towonel.runtime.secretfile import SecretFileError
from towonel.wire.errors import Denied
from towonel.wire.tokens import EdgeToken

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_KEY_VARIABLE = EdgeSettings.model_fields["identity_key_path"].validation_alias
_STATE_VARIABLE = EdgeSettings.model_fields["state_dir"].validation_alias
CERTIFICATE_FILE = "edge-cert.pem"
RENEW_BEFORE = timedelta(days=30)  # an edge that is never restarted has this long to be


@dataclass(frozen=True, slots=True)
class EdgeCredentials:
    """Key of an edge and its certificate."""

    key: NodeKey
    certificate_pem: str


def load_credentials(
    token: EdgeToken | None, key_path: Path | None, state_dir: Path, now: datetime
) -> EdgeCredentials:
    """Return the credentials of this edge; a missing key or certificate is created and stored.

    The key is the token's, else the file's, which a hub on the same machine shares. The certificate
    on disk is used while it is this key's and valid, so that agents need not learn a new one.

    Raises:
        SecretFileError: a file cannot be read or written, or is open to others, or holds no key.
    """
    key = _load_key(token, key_path)
    path = state_dir / CERTIFICATE_FILE
    pem = _read_certificate(path, key, now)
    if pem is None:
        pem = certs.create_certificate(key, now)
        _save_certificate(path, pem)
    return EdgeCredentials(key, pem)


def _load_key(token: EdgeToken | None, path: Path | None) -> NodeKey:
    if token is not None:
        return NodeKey.from_seed(token.seed)
    if path is None:
        raise AssertionError("settings ask for a token or a key path")
    try:
        seed = secretfile.load_or_create(path, lambda: os.urandom(SEED_BYTES))
    except SecretFileError as error:
        raise SecretFileError(f"{_KEY_VARIABLE}: {error}") from error
    if len(seed) != SEED_BYTES:
        rule = f"must be exactly {SEED_BYTES} bytes, has {len(seed)}"
        raise SecretFileError(f"{_KEY_VARIABLE}: {path}: {rule}")
    if is_blank(seed):
        raise SecretFileError(f"{_KEY_VARIABLE}: {path}: {BLANK}")
    return NodeKey.from_seed(seed)


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


def _save_certificate(path: Path, pem: str) -> None:
    try:
        secretfile.replace(path, pem.encode())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SecretFileError(f"{_STATE_VARIABLE}: {path}: cannot be written: {reason}") from error


def to_datetime(now_ms: int) -> datetime:
    """Return a wall-clock time in Unix milliseconds as a datetime."""
    return datetime.fromtimestamp(now_ms / 1000, UTC)
