"""Wheels as files: what one has inside, and a new one of that and of more."""

import base64
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

OURS: Final = re.compile(r"^(Requires-Dist: towonel-[a-z]+(?:\[[a-z,]+\])?)$", re.MULTILINE)
type Date = tuple[int, int, int, int, int, int]


class Wheel:
    """Wheel that was built, as what it has inside.

    Args:
        path: where it is.

    Attributes:
        name: of the package and its version, as in the names of its files.
        files: the content of each, but of those that say how it was built.
    """

    def __init__(self, path: Path) -> None:
        self.name = "-".join(path.name.split("-")[:2])
        self._about = f"{self.name}.dist-info"
        with zipfile.ZipFile(path) as archive:
            infos = [each for each in archive.infolist() if not each.is_dir()]
            self._date: Date = max(each.date_time for each in infos)
            self.files = {each.filename: archive.read(each) for each in infos}
        del self.files[f"{self._about}/RECORD"], self.files[f"{self._about}/WHEEL"]
        self._pin()

    @property
    def modules(self) -> list[str]:
        """The compiled modules that it has."""
        return [name for name in self.files if name.endswith(".so")]

    def write(self, folder: Path, tag: str, more: Mapping[str, bytes] | None = None) -> Path:
        """Write a wheel of a tag, without the compiled modules of the one that was built, and with `more`.

        The same files make the same bytes: in the order of their names, and of one time.
        """
        files = {name: data for name, data in self.files.items() if not name.endswith(".so")}
        files |= more or {}
        files[f"{self._about}/WHEEL"] = _describe(tag, is_pure=not more)
        record = f"{self._about}/RECORD"
        files[record] = _list_files(files.items(), record)
        path = folder / f"{self.name}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in sorted(files, key=lambda each: (each.startswith(self._about), each)):
                info = zipfile.ZipInfo(name, self._date)
                info.external_attr = 0o100644 << 16
                archive.writestr(info, files[name], zipfile.ZIP_DEFLATED, 9)
        return path

    def _pin(self) -> None:
        """Ask for our other packages in this very version: they are made for each other."""
        name = f"{self._about}/METADATA"
        version = self.name.split("-")[1]
        self.files[name] = OURS.sub(rf"\1=={version}", self.files[name].decode()).encode()


def _describe(tag: str, *, is_pure: bool) -> bytes:
    """Return the file that says what kind of wheel it is."""
    python, abi, platforms = tag.split("-")
    tags = "".join(f"Tag: {python}-{abi}-{platform}\n" for platform in platforms.split("."))
    purelib = str(is_pure).lower()
    return f"Wheel-Version: 1.0\nGenerator: towonel\nRoot-Is-Purelib: {purelib}\n{tags}".encode()


def _list_files(files: Iterable[tuple[str, bytes]], record: str) -> bytes:
    """Return the file that lists all others, each with its digest."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, data in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(data)))
    rows.writerow((record, "", ""))
    return text.getvalue().encode()
