"""Keys in files: made, kept, brought back, and no mistake with them ends in a traceback."""

import base64
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.commands import towonel

from towonel.identity.backup import import_key
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.tokens import EdgeToken, InviteToken

SEED = bytes(range(32))
TOKEN = InviteToken("https://hub.example.eu", b"i" * 16, b"s" * 32, SEED).encode()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOWONEL_INVITE_TOKEN", raising=False)
    write("tenant.key", SEED)
    Path("pass").write_text("correct horse\n")
    return tmp_path


def write(name: str, content: bytes, mode: int = 0o600) -> None:
    Path(name).write_bytes(content)
    Path(name).chmod(mode)


def backup_of(name: str = "tenant.key", under: str = "pass") -> str:
    result = towonel("tenant", "export-key", "--key-path", name, "--passphrase-file", under)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_a_key_tells_its_public_part_as_often_as_asked() -> None:
    displayed = json.loads(towonel("tenant", "public-key", "--json").stdout)

    key = TenantKey.from_seed(SEED)
    assert displayed["tenant_id"] == key.tenant_id.hex()
    assert base64.urlsafe_b64decode(displayed["pq_public_key"] + "=") == key.public
    assert len(displayed["pq_public_key"]) == 2603


def test_an_agents_id_is_that_of_its_key() -> None:
    displayed = json.loads(towonel("agent", "init", "--json").stdout)

    assert displayed["agent_id"] == NodeKey.from_seed(Path("agent.key").read_bytes()).public.hex()
    assert Path("agent.key").stat().st_mode & 0o777 == 0o600
    assert towonel("agent", "init").exit_code == 2


def test_a_backup_opens_with_its_passphrase_only_and_is_another_each_time() -> None:
    one, other = backup_of(), backup_of()

    assert import_key(one, "correct horse") == SEED
    assert one != other


@pytest.mark.parametrize("way", ["--backup", "--backup-file", "-"])
def test_a_key_comes_back_by_flag_file_or_pipe(way: str) -> None:
    backup = backup_of()
    Path("backup").write_text(f"{backup}\n")
    given = {"--backup": backup, "--backup-file": "backup", "-": "-"}[way]
    flag = "--backup" if way == "--backup" else "--backup-file"
    arguments = ("tenant", "import-key", flag, given, "--passphrase-file", "pass")
    result = towonel(*arguments, "--key-path", "back.key", stdin=f"{backup}\n")

    assert result.exit_code == 0, result.output
    assert Path("back.key").read_bytes() == SEED


@pytest.mark.parametrize(
    ("text", "passphrase"),
    [("a b", "a b"), (" a\n", " a"), ("ä\r\n", "ä"), ("a\n\n", "a\n")],
)
def test_of_a_passphrase_only_the_end_of_its_line_goes(text: str, passphrase: str) -> None:
    Path("other").write_bytes(text.encode())

    assert import_key(backup_of(under="other"), passphrase) == SEED


def test_a_passphrase_may_come_through_a_pipe() -> None:
    result = towonel("tenant", "export-key", "--passphrase-file", "-", stdin="piped\n")

    assert import_key(result.stdout, "piped") == SEED


def test_whoever_holds_a_token_gets_its_key() -> None:
    by_pipe = towonel("tenant", "key-from-token", "--key-path", "a.key", stdin=f" {TOKEN}\n")
    by_name = towonel(
        "tenant", "key-from-token", "--key-path", "b.key", "--json", TOWONEL_INVITE_TOKEN=TOKEN
    )

    assert by_pipe.exit_code == by_name.exit_code == 0
    assert Path("a.key").read_bytes() == Path("b.key").read_bytes() == SEED
    assert json.loads(by_name.stdout)["hub_url"] == "https://hub.example.eu"
    assert TOKEN not in by_pipe.output + by_name.output


MISTAKES: list[tuple[str, str, int, str]] = [
    ("tenant public-key --key-path missing.key", "", 2, "missing.key: cannot be read"),
    ("tenant export-key --key-path short.key", "", 2, "short.key: has 16 bytes, a key has 32"),
    ("tenant public-key --key-path long.key", "", 2, "long.key: has 33 bytes"),
    (
        "tenant public-key --key-path open.key",
        "",
        2,
        "everybody may use it; run: chmod 600 open.key",
    ),
    ("tenant export-key --key-path .", "", 2, "cannot be read: Is a directory"),
    ("entry list --key-path short.key", "", 2, "short.key: has 16 bytes"),
    ("entry submit --key-path open.key --op upsert-hostname --hostname a.eu", "", 2, "chmod 600"),
    ("tenant leave --key-path missing.key", "", 2, "missing.key: cannot be read"),
    ("tenant init", "", 2, "tenant.key: exists already"),
    ("tenant init --key-path pass/x.key", "", 2, "pass/x.key: cannot be made"),
    ("tenant export-key --passphrase-file missing", "", 2, "--passphrase-file: missing: cannot"),
    ("tenant export-key --passphrase-file empty", "", 2, "--passphrase-file: is empty"),
    ("tenant export-key --passphrase-file huge", "", 2, "has more than 65536 bytes"),
    ("tenant import-key", "", 2, "--backup-file or --backup"),
    ("tenant import-key --backup x --backup-file pass", "", 2, "--backup-file or --backup"),
    ("tenant import-key --backup-file - --passphrase-file -", "x", 2, "holds the backup already"),
    ("tenant import-key --backup-file missing --passphrase-file pass", "", 2, "cannot be read"),
    ("tenant import-key --backup x --passphrase-file pass", "", 1, "starts with towonel-key-v1:"),
    ("tenant import-key --backup-file - --passphrase-file pass", "\udcff", 1, "starts with"),
    ("tenant key-from-token", "", 2, "set TOWONEL_INVITE_TOKEN"),
    ("tenant key-from-token", "tt_inv_2_x.y", 1, "expected 4 parts"),
    ("tenant key-from-token", "EDGE", 1, "starts with tt_inv_2_"),
    ("tenant key-from-token", TOKEN, 2, "tenant.key: exists already"),
    ("agent init --key-path tenant.key", "", 2, "tenant.key: exists already"),
]


@pytest.mark.parametrize(("line", "stdin", "exit_code", "reported"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_every_key_as_it_is(
    line: str, stdin: str, exit_code: int, reported: str
) -> None:
    write("short.key", SEED[:16])
    write("long.key", SEED + b"\n")
    write("open.key", SEED, 0o644)
    write("empty", b"\n")
    write("huge", bytes(65_537))
    edge = EdgeToken("https://hub.example.eu", b"i" * 16, b"s" * 32, SEED).encode()
    piped = stdin.replace("EDGE", edge).encode(errors="surrogateescape")
    before = sorted(Path().iterdir())
    result = towonel(*line.split(), stdin=piped)

    assert result.exit_code == exit_code, result.output
    assert reported in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(Path().iterdir()) == before
    assert Path("tenant.key").read_bytes() == SEED


@pytest.mark.parametrize("damage", ["passphrase", "bit", "cut", "letter"])
def test_a_backup_that_does_not_open_says_so_and_makes_nothing(damage: str) -> None:
    backup = backup_of()
    Path("other").write_text("wrong\n")
    flipped = "B" if backup[-5] == "A" else "A"
    text = {
        "passphrase": backup,
        "bit": backup[:-5] + flipped + backup[-4:],
        "cut": backup[:-4],
        "letter": backup[:-1] + "é",
    }[damage]
    file = "other" if damage == "passphrase" else "pass"
    arguments = ("tenant", "import-key", "--backup", text, "--passphrase-file", file)
    result = towonel(*arguments, "--key-path", "back.key")

    assert result.exit_code == 1
    assert result.stderr.startswith(("towonel: unauthorized: ", "towonel: malformed: "))
    assert "Traceback" not in result.output
    assert not Path("back.key").exists()


# A process that has no terminal takes the one it is given, and becomes the command.
AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "towonel.cli", *sys.argv[1:]])
"""


def on_a_terminal(arguments: str, answers: Iterable[str]) -> tuple[int, str]:
    """Run a command at a terminal, and type an answer to each question; what was to be seen."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "wb") as terminal, os.fdopen(ours, "r+b", buffering=0) as screen:
        streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        command = (sys.executable, "-c", AT_A_TERMINAL, *arguments.split())
        process = subprocess.Popen(command, start_new_session=True, **streams)  # type: ignore[call-overload]
        seen, left = b"", list(answers)
        while process.poll() is None or select.select([screen], [], [], 0)[0]:
            if select.select([screen], [], [], 0.05)[0]:
                seen += screen.read(4096)
            elif left and seen.endswith(b": "):
                seen += b"\n"
                screen.write(left.pop(0).encode())
    return process.returncode, seen.decode()


def test_a_new_passphrase_is_asked_for_twice_and_never_seen() -> None:
    exit_code, seen = on_a_terminal("tenant export-key", ["a b\n", "c\n", "d e\n", "d e\n"])

    assert exit_code == 0
    assert "do not match" in seen
    assert "a b" not in seen
    assert "d e" not in seen
    assert import_key(seen.splitlines()[-1], "d e") == SEED


def test_ctrl_c_at_a_question_ends_as_everywhere() -> None:
    exit_code, seen = on_a_terminal("tenant export-key", ["\x03"])

    assert exit_code == 130
    assert "Traceback" not in seen


def test_where_there_is_no_terminal_the_flag_is_named() -> None:
    command = (sys.executable, "-m", "towonel.cli", "tenant", "export-key")
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    result = subprocess.run(command, check=False, start_new_session=True, **pipes)  # type: ignore[call-overload]

    assert result.returncode == 2
    assert "--passphrase-file: needed where there is no terminal" in result.stderr


def test_closed_standard_input_is_no_token() -> None:
    command = f"exec {sys.executable} -m towonel.cli tenant key-from-token --key-path x <&-"
    result = subprocess.run(command, check=False, shell=True, capture_output=True, text=True)  # noqa: S602

    assert result.returncode == 2
    assert "set TOWONEL_INVITE_TOKEN" in result.stderr
