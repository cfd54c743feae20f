"""`towonel-hub backup`, `restore`, `migrate` and `check`, as commands: what they do, say and exit with."""

import json
import os
import pty
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import text
from support import fork_server
from support.fork_server import CommandResult
from support.ports import free_port
from support.postgres import Postgres
from support.schema_0001 import make_first

from towonel.hub.backup import backup, check
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.offline import open_for_writing

NOBODY = 65_534
KEYS = {"node.key": b"n" * 32, "operator.key": b"o" * 43, "invite_hash.key": b"ab" * 32}


class Place:
    """A folder with a hub's database and keys, and commands that are run on it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.environ = {"TOWONEL_DATA_DIR": str(folder / "data"), **environ}
        folder.mkdir(exist_ok=True)
        (folder / "passphrase").write_bytes(b"correct \xff horse\n")

    @property
    def database(self) -> Database:
        return Database.in_file(self.folder / "data" / "hub.db")

    @property
    def passphrase(self) -> str:
        return str(self.folder / "passphrase")

    def populate(self) -> None:
        (self.folder / "data").mkdir()
        (self.folder / "data" / "hub.db").write_bytes(upgraded())
        (self.folder / "data" / "hub.db").chmod(0o600)
        for name, content in KEYS.items():
            (self.folder / "data" / name).write_bytes(content)
            (self.folder / "data" / name).chmod(0o600)

    def run(
        self, *arguments: str, also: Mapping[str, str] | None = None, user: int | None = None
    ) -> CommandResult:
        environ = self.environ | dict(also or {})
        return fork_server.run_command(environ, *arguments, folder=self.folder, user=user)


@cache
def upgraded() -> bytes:
    """The file of a database that began with the first hub."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hub.db"
        make_first(Database.in_file(path))
        upgrade(Database.in_file(path))
        return path.read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "here")
    made.populate()
    return made


def test_a_hub_is_backed_up_and_restored_elsewhere_keys_and_all(
    place: Place, tmp_path: Path
) -> None:
    file, keys = str(tmp_path / "hub.tar.gz"), ("--with-keys", "--passphrase-file")
    saved = place.run("backup", file, *keys, place.passphrase)
    there = Place(tmp_path / "there")
    restored = there.run("restore", file, *keys, place.passphrase, "--json")
    again = there.run("restore", file, *keys, place.passphrase)

    assert (saved.code, saved.stderr) == (0, "")
    assert saved.stdout.startswith(f"wrote {file}: ")
    assert restored.code == 0
    assert json.loads(restored.stdout)["rows"]["invites"] == 2
    folder = there.folder / "data"
    assert {name: (folder / name).read_bytes() for name in KEYS} == KEYS
    modes = {stat.S_IMODE((folder / name).stat().st_mode) for name in (*KEYS, "hub.db")}
    assert modes == {0o600}
    assert there.run("check").code == 0
    assert (again.code, again.stdout) == (1, "")
    assert "the database is not empty" in again.stderr


def test_a_key_of_the_environment_is_in_the_backup_too(place: Place, tmp_path: Path) -> None:
    (place.folder / "data" / "invite_hash.key").unlink()
    file = tmp_path / "b"
    given = {"TOWONEL_INVITE_HASH_KEY": "cd" * 32}
    place.run("backup", str(file), "--with-keys", "--passphrase-file", place.passphrase, also=given)

    secret = "correct \udcff horse"
    assert backup.read_keys(file, secret) == KEYS | {"invite_hash.key": b"cd" * 32}


def test_another_key_that_is_there_stops_a_restore_before_it_begins(
    place: Place, tmp_path: Path
) -> None:
    file, there = str(tmp_path / "b"), Place(tmp_path / "there")
    options = ("--with-keys", "--passphrase-file", place.passphrase)
    place.run("backup", file, *options)
    (there.folder / "data").mkdir()
    (there.folder / "data" / "operator.key").write_bytes(b"another")
    (there.folder / "data" / "operator.key").chmod(0o600)
    ended = there.run("restore", file, *options)

    assert ended.code == 1
    assert "operator.key: holds another key than the backup" in ended.stderr
    assert [path.name for path in (there.folder / "data").iterdir()] == ["operator.key"]


def test_a_hub_moves_to_postgres_and_back(place: Place, tmp_path: Path, server: Postgres) -> None:
    dsn = fork_server.url_of(server.database(migrated=False))
    chosen = {"TOWONEL_HUB_DB_DRIVER": "postgres", "TOWONEL_HUB_DB_DSN": dsn}
    moved = place.run("migrate", "--from", str(place.database.path), also=chosen)
    checked = place.run("check", "--json", also=chosen)
    saved = place.run("backup", str(tmp_path / "b"), also=chosen)
    there = Place(tmp_path / "there")
    restored = there.run("restore", str(tmp_path / "b"))

    assert [ended.code for ended in (moved, checked, saved, restored)] == [0, 0, 0, 0]
    assert "***" in moved.stdout
    assert "secret" not in moved.stdout
    assert json.loads(checked.stdout) == {"ok": True, "problems": []}
    assert check.problems(there.database) == []


def test_check_says_what_does_not_hold_and_exits_with_1(place: Place) -> None:
    with open_for_writing(place.database) as connection:
        connection.execute(text("UPDATE revision SET pruned = 99"))
    reported, listed = place.run("check"), place.run("check", "--json")

    wrong = "revision: pruned up to 99, beyond the last change 5"
    assert (reported.code, reported.stdout) == (1, f"{wrong}\n")
    assert (listed.code, json.loads(listed.stdout)) == (1, {"ok": False, "problems": [wrong]})


def newer(place: Place) -> None:
    with open_for_writing(place.database) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))


def no_database(place: Place) -> None:
    assert place.database.path
    place.database.path.write_bytes(b"not a database" * 100)


def nothing(place: Place) -> None:
    assert place.database.path
    place.database.path.unlink()


def a_folder(place: Place) -> None:
    nothing(place)
    (place.folder / "data" / "hub.db").mkdir()


def as_it_is(_place: Place) -> None:
    pass


POSTGRES = {"TOWONEL_HUB_DB_DRIVER": "postgres"}
FILE = "{folder}/b"
MISTAKES: dict[str, tuple[Callable[[Place], None], list[str], dict[str, str], int, str]] = {
    "no command": (as_it_is, ["backpu"], {}, 2, "invalid choice: 'backpu'"),
    "no file named": (as_it_is, ["backup"], {}, 2, "the following arguments are required: FILE"),
    "an unknown variable": (as_it_is, ["check"], {"TOWONEL_HUB_X": "1"}, 78, "unknown variable"),
    "no DSN": (as_it_is, ["check"], POSTGRES, 78, "TOWONEL_HUB_DB_DSN: must be set for postgres"),
    "a DSN of a server": (
        as_it_is,
        ["check"],
        {"TOWONEL_HUB_DB_DSN": "postgres://u:hunter2@h/db"},
        78,
        "set TOWONEL_HUB_DB_DRIVER=postgres",
    ),
    "a server that is down": (
        as_it_is,
        ["check"],
        POSTGRES | {"TOWONEL_HUB_DB_DSN": "postgres://u:hunter2@127.0.0.1:{port}/db"},
        1,
        "database: connection failed",
    ),
    "an option of the DSN": (
        as_it_is,
        ["check"],
        POSTGRES | {"TOWONEL_HUB_DB_DSN": "postgres://u:hunter2@127.0.0.1:{port}/db?sslmode=x"},
        1,
        "database: ",
    ),
    "no database": (nothing, ["check"], {}, 1, "there is no such database"),
    "a folder for a database": (a_folder, ["backup", FILE], {}, 1, "there is no such database"),
    "another file for a database": (no_database, ["check"], {}, 1, "file is not a database"),
    "a newer hub's database": (newer, ["backup", FILE], {}, 1, "is of a newer hub"),
    "a newer hub's database to run on": (newer, [], {}, 78, "is of a newer hub"),
    "a file in the way": (as_it_is, ["backup", "{folder}/passphrase"], {}, 1, "exists already"),
    "a folder that is not there": (as_it_is, ["backup", "{folder}/x/b"], {}, 1, "No such file"),
    "a folder to restore": (
        nothing,
        ["restore", "{folder}"],
        {},
        2,
        "FILE: {folder}: cannot be read",
    ),
    "no file to restore": (nothing, ["restore", FILE], {}, 2, "No such file or directory"),
    "another file to restore": (nothing, ["restore", "{folder}/passphrase"], {}, 1, "is no backup"),
    "no file to move": (as_it_is, ["migrate", "--from", FILE], {}, 2, "is no file"),
    "a move to itself": (
        as_it_is,
        ["migrate", "--from", "{folder}/data/hub.db"],
        {},
        78,
        "names the database that --from does",
    ),
    "no passphrase": (
        as_it_is,
        ["backup", FILE, "--with-keys", "--passphrase-file", "/dev/null"],
        {},
        2,
        "--passphrase-file: is empty",
    ),
    "nobody to ask": (
        as_it_is,
        ["backup", FILE, "--with-keys"],
        {},
        2,
        "--passphrase-file: needed where there is no terminal",
    ),
    "no file for the passphrase": (
        as_it_is,
        ["backup", FILE, "--with-keys", "--passphrase-file", "{folder}/none"],
        {},
        2,
        "--passphrase-file: {folder}/none: cannot be read: No such file or directory",
    ),
    "no file for the passphrase of a backup": (
        nothing,
        ["restore", "{folder}/passphrase", "--with-keys", "--passphrase-file", "{folder}/none"],
        {},
        2,
        "--passphrase-file: {folder}/none: cannot be read: No such file or directory",
    ),
    "no keys": (
        lambda place: (place.folder / "data" / "node.key").unlink(),
        ["backup", FILE, "--with-keys", "--passphrase-file", "{folder}/passphrase"],
        {},
        1,
        "node.key: cannot be read",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_a_line_with_its_exit_code(place: Place, mistake: str) -> None:
    prepare, arguments, environ, code, reported = MISTAKES[mistake]
    words = {"folder": str(place.folder), "port": str(free_port())}
    prepare(place)
    ended = place.run(
        *(argument.format(**words) for argument in arguments),
        also={name: value.format(**words) for name, value in environ.items()},
    )

    assert (ended.code, ended.stdout) == (code, "")
    assert reported.format(**words) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr


# A process that has no terminal takes the one it is given, and becomes the command.
AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "towonel.hub", *sys.argv[1:]])
"""


def test_ctrl_c_at_the_question_ends_as_everywhere(place: Place) -> None:
    ours, theirs = pty.openpty()
    command = (
        sys.executable,
        "-c",
        AT_A_TERMINAL,
        "backup",
        str(place.folder / "b"),
        "--with-keys",
    )
    with os.fdopen(theirs, "wb") as terminal, os.fdopen(ours, "r+b", buffering=0) as screen:
        streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        environ = os.environ | place.environ
        process = subprocess.Popen(command, start_new_session=True, env=environ, **streams)  # type: ignore[call-overload]
        seen = b""
        while not seen.endswith(b"Passphrase: "):
            seen += screen.read(1)
        screen.write(b"\x03")

        assert process.wait() == 130


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize(
    ("shut", "code", "told"),
    [
        ("data/hub.db", 1, "{folder}/data/hub.db may not be read by this user (65534)"),
        ("data", 78, "TOWONEL_DATA_DIR: {folder}/data may not be entered by this user (65534)"),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [["check"], ["backup", "/tmp/never"], ["migrate", "--from", "{db}"]],  # noqa: S108
)
def test_what_may_not_be_read_is_told_in_a_line(
    arguments: list[str], shut: str, code: int, told: str
) -> None:
    with tempfile.TemporaryDirectory() as above:
        place = Place(Path(above))
        place.populate()
        place.folder.chmod(0o755)
        (place.folder / "data").chmod(0o755)
        (place.folder / shut).chmod(0)
        words = [word.format(db=place.database.path) for word in arguments]
        to = {"TOWONEL_HUB_DB_DSN": f"{above}/new.db"} if "migrate" in arguments else {}
        ended = place.run(*words, also=to, user=NOBODY)

    assert (ended.code, ended.stdout) == (code, "")
    assert told.format(folder=above) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.processes
def test_the_command_is_there_under_its_name(place: Place) -> None:
    program = Path(sys.executable).with_name("towonel-hub")
    ended = subprocess.run(
        [program, "check"], env=place.environ, capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{place.database.path}: all is well\n"
