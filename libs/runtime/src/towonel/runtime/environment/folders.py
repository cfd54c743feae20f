"""Folders of settings: one that cannot be used is a mistake of its variable, before a file is made in it."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def check_folder(path: Path) -> Path:
    """Return the path of a folder that can be entered, or that does not exist yet.

    Raises:
        ValueError: with the folder that is in the way, and what to do about it.
    """
    whole = path.absolute()
    for folder in (*reversed(whole.parents), whole):
        try:
            os.stat(os.path.join(folder, "."))  # noqa: PTH116, PTH118 a Path drops the dot, which enters it
        except FileNotFoundError:
            break
        except NotADirectoryError:
            raise ValueError(f"{folder} is a file, and must be a folder; name another") from None
        except PermissionError:
            raise ValueError(_advise(folder, whole)) from None
        except OSError as error:
            raise ValueError(f"cannot be used as a folder: {error.strerror}") from None
    return path


def _advise(folder: Path, whole: Path) -> str:
    user = os.geteuid()
    rule = f"{folder} may not be entered by this user ({user})"
    if folder == whole:
        return f"{rule}; run as the folder's owner, or: chown -R {user} {folder}"
    return f"{rule}, and {whole} is in it; run as a user who may, or name a folder elsewhere"


type Folder = Annotated[Path, AfterValidator(check_folder)]
