"""Key files of the hub, which are made at its first start."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from towonel.hub.settings import KEY_FILES, HubSettings
from towonel.identity.keys import BLANK, SEED_BYTES, NodeKey, describe_bad_seed, is_blank
from towonel.runtime.secretfile import SecretFileError, load_or_create, read
from towonel.wire import base64url

HASH_KEY_BYTES = 32  # BLAKE3's
MIN_OPERATOR_KEY_CHARS = 32  # one that the hub makes has 43


@dataclass(frozen=True, slots=True)
class HubKeys:
    """Keys of the hub: its identity, the operator's key, and the one that hashes invites."""

    node: NodeKey
    operator: bytes = field(repr=False)
    invite_hash: bytes = field(repr=False)


def load_keys(settings: HubSettings) -> HubKeys:
    """Read the keys, making those that are missing; blocking.

    Raises:
        SecretFileError: with a line for each, naming the variable, the file and the rule.
    """
    keys, problems = _read_keys(settings, lambda path, kind: load_or_create(path, kind.make))
    if problems:
        raise SecretFileError("\n".join(problems))
    given = settings.invite_hash_key
    return HubKeys(
        NodeKey.from_seed(keys["identity_key_path"]),
        keys["operator_api_key_path"],
        bytes.fromhex(given.get_secret_value()) if given else keys["invite_hash_key_path"],
    )


def find_key_problems(settings: HubSettings) -> list[str]:
    """Return a line for each key file that exists and cannot be used; none is made."""
    _, problems = _read_keys(settings, lambda path, _: read(path) if path.exists() else None)
    return problems


def key_files(settings: HubSettings) -> dict[str, bytes]:
    """Return the contents of the key files, by name, for a backup.

    Raises:
        SecretFileError: where one is missing or cannot be read.
    """
    paths, variable = _paths(settings), settings.invite_hash_key
    if variable is None:
        return {name: read(path) for name, path in paths.items()}
    override = {"invite_hash.key": variable.get_secret_value().encode()}
    return {name: read(paths[name]) for name in paths.keys() - override.keys()} | override


def check_key_files(settings: HubSettings, keys: Mapping[str, bytes]) -> None:
    """Check that keys from a backup can be written: each is missing, or the same.

    Raises:
        SecretFileError: where another key is there.
    """
    for name, path in _paths(settings).items():
        if name in keys and path.exists() and read(path) != keys[name]:
            raise SecretFileError(f"{path}: holds another key than the backup; move it away")


def write_key_files(settings: HubSettings, keys: Mapping[str, bytes]) -> None:
    """Write the keys of a backup that are missing.

    Raises:
        SecretFileError: where another key is there.
    """
    for name, path in _paths(settings).items():
        if name in keys:
            load_or_create(path, partial(bytes, keys[name]))
    check_key_files(settings, keys)


def has_operator_key(settings: HubSettings) -> bool:
    """Whether the hub has made its operator key before; `node.key` can be the edge's that starts beside it."""
    return settings.key_paths["operator_api_key_path"].exists()


def _read_keys(
    settings: HubSettings, read_file: Callable[[Path, "_Kind"], bytes | None]
) -> tuple[dict[str, bytes], list[str]]:
    """Return the keys by their settings, and a line for each that cannot be used."""
    keys, problems = dict[str, bytes](), list[str]()
    for setting, path in settings.key_paths.items():
        if setting == "invite_hash_key_path" and settings.invite_hash_key is not None:
            continue
        variable = settings.variable_of(setting if getattr(settings, setting) else "data_dir")
        kind = _KINDS[setting]
        try:
            content = read_file(path, kind)
            if content is not None:
                keys[setting] = kind.parse(path, content)
        except SecretFileError as error:
            problems.append(f"{variable}: {error}")
        except OSError as error:
            problems.append(f"{variable}: {path}: cannot be read: {error.strerror}")
    return keys, problems


def _paths(settings: HubSettings) -> dict[str, Path]:
    """Return the key files by their usual names, which a backup has."""
    paths = settings.key_paths
    return {name: paths[setting] for setting, name in KEY_FILES.items()}


def _parse_seed(path: Path, content: bytes) -> bytes:
    if (problem := describe_bad_seed(content)) is not None:
        raise SecretFileError(f"{path}: {problem}")
    return content


def _parse_operator_key(path: Path, content: bytes) -> bytes:
    key = content.strip()
    if not key:
        raise SecretFileError(f"{path}: is empty; delete it, and a new key is made")
    if len(key) < MIN_OPERATOR_KEY_CHARS:
        raise SecretFileError(
            f"{path}: has {len(key)} characters, and needs at least {MIN_OPERATOR_KEY_CHARS}: was it cut"
            " off? Restore it, or delete it, and a new key is made"
        )
    return key


def _parse_hash_key(path: Path, content: bytes) -> bytes:
    try:
        key = bytes.fromhex(content.strip().decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != HASH_KEY_BYTES:
        raise SecretFileError(f"{path}: must be 64 hexadecimal digits")
    if is_blank(key):
        raise SecretFileError(f"{path}: {BLANK}")
    return key


@dataclass(frozen=True, slots=True)
class _Kind:
    """Kind of key file: what a new one holds, and the key in one."""

    make: Callable[[], bytes]
    parse: Callable[[Path, bytes], bytes]


_KINDS = {
    "identity_key_path": _Kind(lambda: secrets.token_bytes(SEED_BYTES), _parse_seed),
    "operator_api_key_path": _Kind(
        lambda: base64url.encode(secrets.token_bytes(32)).encode(), _parse_operator_key
    ),
    "invite_hash_key_path": _Kind(
        lambda: secrets.token_hex(HASH_KEY_BYTES).encode(), _parse_hash_key
    ),
}
