"""Files of certificates: `<name>.crt` is a chain as PEM, and `<name>.key` its key, in one folder."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towonel.edge.certificates.certificate import (
    MAX_PEM_BYTES,
    Certificate,
    CertificateError,
    parse_certificate,
)
from towonel.runtime import secretfile
from towonel.runtime.secretfile import SecretFileError
from towonel.wire.errors import ProtocolError
from towonel.wire.names import Hostname, parse_server_name

CHAIN: Final = ".crt"
KEY: Final = ".key"
MAX_CERTIFICATES: Final = 10_000  # of some 5 KiB, in control and in each worker

type Stamp = tuple[int, ...]  # of a file's content: it differs where that was changed


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """Difference of a folder of certificates to what was known of it.

    Args:
        stamps: of all names that there are files for.
        changed: the certificates of those that are new or have changed, or why one cannot be used.
    """

    stamps: Mapping[Hostname, Stamp]
    changed: Mapping[Hostname, Certificate | CertificateError]


def read_changes(folder: Path, known: Mapping[Hostname, Stamp]) -> FolderChanges:
    """Return what has changed in a folder since the stamps of its files were those; one that is missing is empty.

    Raises:
        OSError: the folder cannot be read.
    """
    stamps = dict(_find_stamps(folder))
    new = [name for name, stamp in stamps.items() if known.get(name) != stamp]
    return FolderChanges(stamps, {name: _try_read(folder, name) for name in new})


def _find_stamps(folder: Path) -> Iterator[tuple[Hostname, Stamp]]:
    try:
        paths = [path for path in folder.iterdir() if path.suffix == CHAIN]
    except FileNotFoundError:
        return
    for path in sorted(paths)[:MAX_CERTIFICATES]:
        with contextlib.suppress(ProtocolError):  # the name of something else
            name = parse_server_name(path.stem)
            stamp = find_stamp(folder, name) if name == path.stem else None  # as it is asked for
            if stamp is not None:
                yield name, stamp


def find_stamp(folder: Path, name: Hostname) -> Stamp | None:
    """Return the stamp of a name's files, if both are there."""
    try:
        found = [(folder / f"{name}{suffix}").stat() for suffix in (CHAIN, KEY)]
    except OSError:
        return None
    return tuple(part for each in found for part in (each.st_mtime_ns, each.st_ino))


def write_certificate(folder: Path, name: Hostname, chain: bytes, key: bytes) -> None:
    """Write the certificate of a name, mode 0600, each file whole or not at all: the key first.

    A key whose chain is not the one beside it is noticed when they are read.

    Raises:
        OSError: as of `secretfile.replace`.
    """
    secretfile.replace(folder / f"{name}{KEY}", key)
    secretfile.replace(folder / f"{name}{CHAIN}", chain)


def remove_certificate(folder: Path, name: Hostname) -> None:
    """Remove the files of a name's certificate: the key first, without which it is none.

    Raises:
        OSError: the folder takes no change.
    """
    for suffix in (KEY, CHAIN):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


def _try_read(folder: Path, name: Hostname) -> Certificate | CertificateError:
    try:
        return read_certificate(folder, name)
    except CertificateError as error:
        return error


def read_certificate(folder: Path, name: Hostname) -> Certificate:
    """Return the certificate of a name.

    Raises:
        CertificateError: it cannot be read or used, or everybody may use its key.
    """
    try:
        with (folder / f"{name}{CHAIN}").open("rb") as file:
            chain = file.read(MAX_PEM_BYTES + 1)
        key = secretfile.read(folder / f"{name}{KEY}")
    except SecretFileError as error:
        raise CertificateError(str(error)) from None
    except OSError as error:
        raise CertificateError(f"cannot be read: {error.strerror}") from None
    return parse_certificate(name, chain, key)
