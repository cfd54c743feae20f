"""Secrets in files that only their owner reads, made once even when two processes race."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
MAX_SECRET_BYTES = 64 * 1024


class SecretFileError(Exception):
    """A secret's file is missing, broken or open to others; the text says what to do."""


def load_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the secret in `path`; where there is no file, make one, mode 0600.

    The first of several creators wins, and all return what is in the file. The folder is made,
    mode 0700, where it is missing.

    Raises:
        SecretFileError: where the file cannot be made or read, or others may use it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path, make())
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be made: {error.strerror}") from error
    return read(path)


def create(path: Path, content: bytes) -> None:
    """Write a new secret, mode 0600, whole or not at all; what is there already stays as it is.

    Raises:
        SecretFileError: where there is something already, or the file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = _create(path, content)
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be made: {error.strerror}") from error
    if not made:
        raise SecretFileError(f"{path}: exists already, and is not overwritten")


def read(path: Path) -> bytes:
    """Return the secret in `path`.

    Raises:
        SecretFileError: where it cannot be read, is no file, is huge, or others may use it.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_SECRET_BYTES:
                raise SecretFileError(f"{path}: is not a small file")
            if found.st_mode & _OTHERS:
                raise SecretFileError(f"{path}: others may use it; run: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be read: {error.strerror}") from error


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, mode 0600, and wait until it is on the disk.

    Raises:
        OSError: where the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = _written(path, content)
    try:
        written.replace(path)
    except OSError:
        written.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _create(path: Path, content: bytes) -> bool:
    """Make a file, or return False where there is something already."""
    # A link is made only where there is none, and the content is complete before it has its name:
    # nobody can read half a key, as they could after a plain O_EXCL and write.
    written = _written(path, content)
    try:
        path.hardlink_to(written)
    except FileExistsError:
        return False
    finally:
        written.unlink()
    _sync_folder(path.parent)
    return True


def _written(path: Path, content: bytes) -> Path:
    """Return a new file beside `path`, made with O_EXCL and mode 0600, `content` on the disk."""
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
