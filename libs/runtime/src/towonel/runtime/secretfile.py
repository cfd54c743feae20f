"""Secret files: closed to all but their owner and group; of several processes one creates each."""

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from towonel.runtime.environment.values import open_at_once

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

    Its group may read it, which is logged: as a warning where the file is this user's own. One of
    another user is meant so, since only its group lets this process read it: as Kubernetes gives the
    files of a volume to a group, by `fsGroup`, and to nobody else.

    Raises:
        SecretFileError: if it cannot be read, is not a file, is huge, or everybody may use it.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            _check_status(path, os.fstat(file.fileno()))
            return file.read()
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be read: {error.strerror}") from error


def _check_status(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError(f"{path}: is not a file")
    if status.st_size > MAX_SECRET_BYTES:
        raise SecretFileError(
            f"{path}: is too large for a secret: at most {MAX_SECRET_BYTES} bytes"
        )
    if status.st_mode & stat.S_IRWXO:
        raise SecretFileError(f"{path}: everybody may use it; run: chmod 600 {path}")
    # Also writing: `fsGroup` makes 0660 of what a volume has, and the program, which is in the group and
    # is not the owner, can change that as little as who mounted it. Nobody else is in that group.
    if status.st_mode & stat.S_IRWXG:
        _tell(path, is_meant=os.geteuid() not in {0, status.st_uid})


def _tell(path: Path, *, is_meant: bool) -> None:
    import structlog  # noqa: PLC0415 with rich and pygments, for which no command should wait

    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    if is_meant:
        reason = "it belongs to another user, and its group may use it, this process among them"
        if structlog.is_configured():
            log.info("secret_file.shared", path=str(path), reason=reason)
        return
    reason = f"its group may use it; unless that is meant, run: chmod 600 {path}"
    if structlog.is_configured():
        log.warning("secret_file.shared", path=str(path), reason=reason)
    else:  # a command, whose standard output is for what was asked
        print(f"warning: {path}: {reason}", file=sys.stderr)  # noqa: T201


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
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # the disk is full
        Path(name).unlink()
        raise
    return Path(name)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
