"""Values of variables: empty is not set, files are read whole, and what fails is named."""

import os
from pathlib import Path

import pytest

from towonel.runtime.environment.values import MAX_FILE_BYTES, Reading, normalize, read_values

MARK = "\ufeff"


def read(environ: dict[str, str]) -> Reading:
    return read_values(("A", "B"), environ)


@pytest.mark.parametrize("empty", ["", " ", '""', "\r\n", MARK])
def test_what_is_empty_is_not_set(empty: str) -> None:
    found = read({"A": empty, "B_FILE": empty})

    assert (found.values, found.problems, found.warnings) == ({}, [], [])
    assert read({"A": "x", "A_FILE": empty}).values == {"A": "x"}
    assert read({"A": empty, "A_FILE": "/dev/null"}).problems == []


def test_a_file_and_a_value_are_one_too_many() -> None:
    assert read({"A": "x", "A_FILE": "/x"}).problems == ["A: set it or A_FILE, not both"]


def test_a_large_file_is_read_whole_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * MAX_FILE_BYTES)
    whole = read({"A_FILE": str(path)})
    path.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    more = read({"A_FILE": str(path)})

    assert len(whole.values["A"]) == MAX_FILE_BYTES
    assert more.values == {}
    assert more.problems == [f"A_FILE: {path} is too large: at most 8 MiB are read"]


def test_endless_and_silent_files_do_not_stop_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = read({"A_FILE": "/dev/zero", "B_FILE": str(tmp_path / "pipe")})

    assert found.problems == ["A_FILE: /dev/zero is too large: at most 8 MiB are read"]
    assert found.warnings == [f"B_FILE: {tmp_path}/pipe is empty, which counts as not set"]


def test_a_pipe_is_waited_for_while_somebody_may_write() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as file:
        file.write(b"secret\n")
        file.close()

        assert read({"A_FILE": f"/dev/fd/{reader}"}).values == {"A": "secret"}


@pytest.mark.parametrize("secret", ["tt_inv_2_abc", "redis://:hunter2@redis/0"])
def test_a_secret_in_the_place_of_a_path_is_not_shown(secret: str) -> None:
    (problem,) = read({"A_FILE": secret}).problems

    assert problem.startswith("A_FILE: cannot read the file: No such file")
    assert "it takes the path of a file with the value, A the value itself" in problem
    assert secret not in problem


def test_what_is_no_text_is_named_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    found = read({"A_FILE": str(tmp_path / "binary"), "B": "a\x1b[0m"})

    assert [problem.partition(":")[0] for problem in found.problems] == ["A_FILE", "B"]
    assert found.values == {}


def test_a_file_of_variables_may_begin_with_a_mark() -> None:
    assert normalize({MARK + "A": "x", "B": "y"}) == {"A": "x", "B": "y"}
    assert normalize({MARK + "A": "x", "A": "y"}) == {"A": "y"}
