"""Secrets that a command needs: from a file, from standard input, or typed at the terminal.

None of them is a flag: others on the machine can see what a command was called with.
"""

import getpass
import sys
from pathlib import Path

MAX_BYTES = 64 * 1024
_STDIN = Path("-")


def read(file: Path) -> bytes:
    """Return what a file holds, or standard input for `-`; not more than 64 KiB.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it has more.
    """
    if file == _STDIN:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""
    else:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    return data


def ask(what: str, *, confirm: bool = False) -> str:
    """Return what is typed unseen at the terminal, the same twice where it is to be confirmed.

    Raises:
        KeyboardInterrupt: at Ctrl-C, and where the input ends.
    """
    while True:
        secret = _read_typed(f"{what}: ")
        if not confirm or _read_typed("Repeat for confirmation: ") == secret:
            return secret
        print("Error: The two entered values do not match.", file=sys.stderr)  # noqa: T201


def _read_typed(prompt: str) -> str:
    try:
        while not (secret := getpass.getpass(prompt)):
            pass
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)  # noqa: T201 the prompt's line ends here
        raise KeyboardInterrupt from None
    return secret
