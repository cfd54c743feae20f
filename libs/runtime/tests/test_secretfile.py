"""Secret files: created once, for their owner only, whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from towonel.runtime.secretfile import SecretFileError, create, load_or_create, read, replace


@pytest.fixture(autouse=True)
def _no_logs() -> Iterator[None]:
    """As in a command: another test of this process may have configured logs."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_secret_is_made_for_its_owner_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "node.key"
    first = load_or_create(path, lambda: b"first")

    assert first == b"first"
    assert load_or_create(path, lambda: b"second") == b"first"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert names(path.parent) == ["node.key"]


def test_a_new_secret_takes_the_place_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "tenant.key"
    create(path, b"first")

    with pytest.raises(SecretFileError, match="exists already"):
        create(path, b"second")
    assert (read(path), mode(path)) == (b"first", 0o600)
    assert names(path.parent) == ["tenant.key"]


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    path = tmp_path / "tenant.key"
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SecretFileError, match="exists already"):
        create(path, b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_secret_needs_a_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SecretFileError, match="cannot be made"):
        create(tmp_path / "file" / "tenant.key", b"x")


CREATE = """
import secrets, sys
from pathlib import Path
from towonel.runtime.secretfile import load_or_create
sys.stdin.readline()
print(load_or_create(Path(sys.argv[1]), lambda: secrets.token_bytes(32)).hex())
"""


def test_creators_that_race_all_get_the_same_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CREATE, str(tmp_path / "state" / "node.key")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    racers = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    made = {racer.communicate()[0].strip() for racer in racers}

    assert len(made) == 1
    assert len(made.pop()) == 64


@pytest.mark.parametrize("bits", [0o604, 0o602, 0o644, 0o666])
def test_a_secret_that_everybody_may_use_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, bits: int
) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"x")
    path.chmod(bits)

    with pytest.raises(SecretFileError, match="chmod 600"):
        read(path)


@pytest.mark.parametrize("bits", [0o440, 0o640, 0o660])
def test_a_secret_that_its_group_may_use_is_read_with_a_warning(
    tmp_path: Path, bits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"x")
    path.chmod(bits)

    assert read(path) == b"x"
    said = capsys.readouterr()
    assert f"warning: {path}: its group may use it" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("reader", "level"),
    [("owner", "warning"), ("root", "warning"), ("group", "info")],
)
def test_a_process_warns_of_a_group_unless_it_reads_the_file_as_one_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, level: str
) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"x")
    path.chmod(0o640)
    owner = path.stat().st_uid
    users = {"owner": owner, "root": 0, "group": owner + 10_001}
    monkeypatch.setattr(os, "geteuid", lambda: users[reader])
    with structlog.testing.capture_logs() as logged:
        read(path)

    told = [(line["event"], line["path"], line["log_level"]) for line in logged]
    assert told == [("secret_file.shared", str(path), level)]


def test_a_command_says_nothing_of_a_file_that_its_group_lets_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"x")
    path.chmod(0o440)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 10_001)

    assert read(path) == b"x"
    assert capsys.readouterr() == ("", "")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(SecretFileError, match="is not a file"):
        read(tmp_path / "pipe")


def test_anything_but_a_small_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "huge").write_bytes(bytes(65 * 1024))
    (tmp_path / "huge").chmod(0o600)

    for name in ("folder", "huge", "missing"):
        with pytest.raises(SecretFileError, match=name):
            read(tmp_path / name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SecretFileError, match="cannot be made"):
        load_or_create(tmp_path / "file" / "node.key", lambda: b"")


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state"
    replace(path, b"one")
    replace(path, b"two")

    assert path.read_bytes() == b"two"
    assert mode(path) == 0o600
    assert names(path.parent) == ["state"]


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "inside").write_text("")

    with pytest.raises(OSError, match="directory"):
        replace(tmp_path / "state", b"x")

    assert names(tmp_path) == ["state"]


def test_a_disk_that_is_full_keeps_no_part_of_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(OSError, match="No space"):
        replace(tmp_path / "secret", b"secret")

    assert names(tmp_path) == []
