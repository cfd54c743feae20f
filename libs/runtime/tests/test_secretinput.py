"""Secrets from files, standard input and the terminal."""

import getpass
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from towonel.runtime.secretinput import MAX_BYTES, ask, read


class Typist:
    """Types lines where a secret is asked for, and notes the prompts; an error is raised."""

    def __init__(self, lines: Sequence[str | type[BaseException]]) -> None:
        self._lines = iter(lines)
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        line = next(self._lines)
        if isinstance(line, str):
            return line
        raise line


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str | type[BaseException]) -> Typist:
    typist = Typist(lines)
    monkeypatch.setattr(getpass, "getpass", typist)
    return typist


def test_a_secret_is_asked_for_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    typist = typing(monkeypatch, "", " sesame ")

    assert ask("Passphrase") == " sesame "
    assert typist.prompts == ["Passphrase: "] * 2


def test_a_new_secret_is_typed_twice_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typist = typing(monkeypatch, "a", "b", "c", "c")

    assert ask("Passphrase", confirm=True) == "c"
    assert typist.prompts == ["Passphrase: ", "Repeat for confirmation: "] * 2
    assert capsys.readouterr().err == "Error: The two entered values do not match.\n"


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_the_end_of_the_input_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    typing(monkeypatch, "a", end)

    with pytest.raises(KeyboardInterrupt):
        ask("Passphrase", confirm=True)


def test_a_file_is_read_as_it_is_and_no_further_than_it_may(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" \xff\n")
    (tmp_path / "large").write_bytes(bytes(MAX_BYTES + 1))

    assert read(file) == b" \xff\n"
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        read(tmp_path / "large")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")


def test_a_dash_is_standard_input_which_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"sesame\n")))
    piped = read(Path("-"))
    monkeypatch.setattr(sys, "stdin", None)

    assert (piped, read(Path("-"))) == (b"sesame\n", b"")
