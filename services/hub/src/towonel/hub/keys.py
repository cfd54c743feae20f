"""The hub's keys, read from files that are made at the first boot."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from towonel.hub.settings import HubSettings
from towonel.identity.keys import SEED_BYTES, NodeKey
from towonel.runtime.secretfile import SecretFileError, load_or_create
from towonel.wire import base64url

HASH_KEY_BYTES = 32  # BLAKE3's


@dataclass(frozen=True, slots=True)
class HubKeys:
    """Who the hub is, who may command it, and how it hashes invites."""

    node: NodeKey
    operator: bytes = field(repr=False)
    invite_hash: bytes = field(repr=False)


def load_keys(settings: HubSettings) -> HubKeys:
    """Read the keys, making those that are missing; blocking.

    Raises:
        SecretFileError: naming the file and the rule that it breaks.
    """
    folder = settings.data_dir
    return HubKeys(
        NodeKey.from_seed(_node_seed(settings)),
        _operator_key(settings.operator_api_key_path or folder / "operator.key"),
        _invite_hash_key(settings),
    )


def _node_seed(settings: HubSettings) -> bytes:
    path = settings.identity_key_path or settings.data_dir / "node.key"
    seed = load_or_create(path, lambda: secrets.token_bytes(SEED_BYTES))
    if len(seed) != SEED_BYTES:
        raise SecretFileError(f"{path}: must be exactly {SEED_BYTES} bytes, has {len(seed)}")
    return seed


def _operator_key(path: Path) -> bytes:
    key = load_or_create(path, lambda: base64url.encode(secrets.token_bytes(32)).encode()).strip()
    if not key:
        raise SecretFileError(f"{path}: is empty; delete it, and a new key is made")
    return key


def _invite_hash_key(settings: HubSettings) -> bytes:
    if settings.invite_hash_key is not None:
        return bytes.fromhex(settings.invite_hash_key.get_secret_value().strip())
    path = settings.invite_hash_key_path or settings.data_dir / "invite_hash.key"
    text = load_or_create(path, lambda: secrets.token_hex(HASH_KEY_BYTES).encode()).strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != HASH_KEY_BYTES:
        raise SecretFileError(f"{path}: must be 64 hexadecimal digits")
    return key
