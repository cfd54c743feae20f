"""Folders of settings: what is in the way is named, with what to do."""

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from towonel.runtime.environment.folders import check_folder

NOBODY = 65_534


@pytest.fixture
def closed() -> Generator[Path]:
    """A folder that this user may not enter, as long as the test runs; only those above it are open."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = Path(above, "closed")
        folder.mkdir(mode=0o000)
        os.seteuid(user or NOBODY)  # root may enter all
        yield folder
        os.seteuid(user)


def test_a_folder_or_one_that_does_not_exist_yet_is_accepted(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new" / "deeper", Path()):
        assert check_folder(folder) is folder


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(ValueError, match=f"{tmp_path}/file is a file, and must be a folder"):
            check_folder(path)


def test_a_folder_that_this_user_may_not_enter_is_named_with_the_fix(closed: Path) -> None:
    with pytest.raises(ValueError, match="may not be entered by this user") as caught:
        check_folder(closed)
    assert str(caught.value).endswith(f"or: chown -R {os.geteuid()} {closed}")
    with pytest.raises(ValueError, match=f"{closed} may not be entered .*, and .*/deeper is in it"):
        check_folder(closed / "deeper")


def test_what_else_the_system_says_is_handed_on_without_the_value() -> None:
    with pytest.raises(
        ValueError, match="cannot be used as a folder: File name too long"
    ) as caught:
        check_folder(Path("x" * 5_000))
    assert "xxx" not in str(caught.value)
