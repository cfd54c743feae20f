r"""Encryption under a passphrase: of a tenant's key as text, and of whole files.

    key   towonel-key-v1: base64url( salt 16 | nonce 12 | AES-256-GCM of the 32-byte seed, tag 16 )
    file  "towonel-sealed-v1\n" | salt 16 | nonce 12 | AES-256-GCM of the file, tag 16

The AES key is Argon2id of the passphrase; a file's first line is authenticated with it, so that one
never passes for the other. The key's form is the original's.

Source: RFC 9106 (Argon2id), NIST SP 800-38D (GCM), OWASP's parameters as the original has them.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from towonel.identity.keys import SEED_BYTES
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError

SALT_BYTES = 16
NONCE_BYTES = 12
MAX_SEALED_BYTES = 1024**3  # held in memory twice while it is sealed or opened
_KEY_PREFIX = "towonel-key-v1:"
_FILE_HEADER = b"towonel-sealed-v1\n"
_TAG_BYTES = 16
_OVERHEAD_BYTES = SALT_BYTES + NONCE_BYTES + _TAG_BYTES
_MEMORY_KIB = 19_456
_PASSES = 2
_LANES = 1


def export_key(seed: bytes, passphrase: str, *, salt: bytes, nonce: bytes) -> str:
    """Return a tenant's 32-byte seed as the text of a backup.

    Args:
        seed: what to encrypt.
        passphrase: what opens it again; trying one costs 19 MiB and some tens of milliseconds.
        salt: 16 random bytes, never used before.
        nonce: 12 random bytes, likewise.
    """
    return _KEY_PREFIX + base64url.encode(_encrypt(seed, passphrase, salt, nonce, b""))


def import_key(text: str, passphrase: str) -> bytes:
    """Return the seed of a backup; white space around it is ignored.

    Raises:
        ProtocolError: MALFORMED for a text that is not a backup of a key.
        Denied: UNAUTHORIZED for a wrong passphrase, or a backup that was changed.
    """
    text = text.strip()
    if not text.startswith(_KEY_PREFIX):
        raise ProtocolError(Code.MALFORMED, f"a key's backup starts with {_KEY_PREFIX}")
    data = base64url.decode(text.removeprefix(_KEY_PREFIX))
    if len(data) != SEED_BYTES + _OVERHEAD_BYTES:
        raise ProtocolError(Code.MALFORMED, f"a key's backup of {len(data)} bytes")
    return _decrypt(data, passphrase, b"")


def seal(data: bytes, passphrase: str, *, salt: bytes, nonce: bytes) -> bytes:
    """Return a file that the passphrase opens; the arguments are those of `export_key`.

    Raises:
        ProtocolError: TOO_LARGE above 1 GiB.
    """
    if len(data) > MAX_SEALED_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"a file of {len(data)} bytes")
    return _FILE_HEADER + _encrypt(data, passphrase, salt, nonce, _FILE_HEADER)


def unseal(sealed: bytes, passphrase: str) -> bytes:
    """Return what was sealed.

    Raises:
        ProtocolError: MALFORMED for bytes that are not a sealed file, TOO_LARGE for one above 1 GiB.
        Denied: UNAUTHORIZED for a wrong passphrase, or a file that was changed or cut.
    """
    if not sealed.startswith(_FILE_HEADER) or len(sealed) < len(_FILE_HEADER) + _OVERHEAD_BYTES:
        raise ProtocolError(Code.MALFORMED, "not a sealed file")
    if len(sealed) > len(_FILE_HEADER) + _OVERHEAD_BYTES + MAX_SEALED_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"a sealed file of {len(sealed)} bytes")
    return _decrypt(sealed[len(_FILE_HEADER) :], passphrase, _FILE_HEADER)


def _encrypt(data: bytes, passphrase: str, salt: bytes, nonce: bytes, header: bytes) -> bytes:
    return salt + nonce + _derive_cipher(passphrase, salt).encrypt(nonce, data, header)


def _decrypt(data: bytes, passphrase: str, header: bytes) -> bytes:
    salt, nonce = data[:SALT_BYTES], data[SALT_BYTES : SALT_BYTES + NONCE_BYTES]
    try:
        return _derive_cipher(passphrase, salt).decrypt(
            nonce, data[SALT_BYTES + NONCE_BYTES :], header
        )
    except InvalidTag:
        raise Denied(Code.UNAUTHORIZED, "another passphrase, or changed since") from None


def _derive_cipher(passphrase: str, salt: bytes) -> AESGCM:
    # Input of a terminal that is not UTF-8 counts as its bytes.
    secret = passphrase.encode(errors="surrogateescape")
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return AESGCM(kdf.derive(secret))
