"""Secret files: only their owner may read them, and one process of several creates each."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
MAX_SECRET_BYTES = 64 * 1024


class SecretFileError(Exception):
    """Error of a secret's file that is missing, broken or open to others, with what to do."""


def load_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the secret in `path`; a missing file is created, mode 0600.

    The first of several creators wins, and all return what is in the file. A missing folder is
    created, mode 0700.

    Raises:
        SecretFileError: if the file cannot be created or read, or others may use it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create_file(path, make())
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be made: {error.strerror}") from error
    return read(path)


def create(path: Path, content: bytes) -> None:
    """Write a new secret, mode 0600, whole or not at all; an existing file stays as it is.

    Raises:
        SecretFileError: if the path exists already, or the file cannot be created.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = _create_file(path, content)
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be made: {error.strerror}") from error
    if not is_new:
        raise SecretFileError(f"{path}: exists already, and is not overwritten")


def read(path: Path) -> bytes:
    """Return the secret in `path`.

    Raises:
        SecretFileError: if it cannot be read, is not a file, is huge, or others may use it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SECRET_BYTES:
                raise SecretFileError(f"{path}: is not a small file")
            if status.st_mode & _OTHERS:
                raise SecretFileError(f"{path}: others may use it; run: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be read: {error.strerror}") from error


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, mode 0600, and wait until it is on the disk.

    Raises:
        OSError: if the disk is full or the folder cannot be temporary.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = _write_temporary(path, content)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _create_file(path: Path, content: bytes) -> bool:
    """Create a file, or return False if the path exists already."""
    # A link fails if the path exists, and the content is complete before it has its name: no process
    # can read half a key, as it could after a plain O_EXCL and write.
    temporary = _write_temporary(path, content)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_folder(path.parent)
    return True


def _write_temporary(path: Path, content: bytes) -> Path:
    """Return a new file beside `path`, created with O_EXCL, mode 0600, and synced to the disk."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
