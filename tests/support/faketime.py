"""Clock shim for processes of the tests: libfaketime, whose offset a file sets at any moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


def _find_library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is missing: run `make tools`"
    return str(found[0])


@dataclass(frozen=True)
class ShiftedClock:
    """Wall clock of the processes that are started with `environ`; their timers run as ever."""

    file: Path
    ahead_s: float

    def __post_init__(self) -> None:
        self.shift(self.ahead_s)

    def shift(self, seconds: float) -> None:
        """Put the clock so many seconds ahead of the machine's, also of processes that run."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.rename(self.file)  # a process reads all of it or all of what was before

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": _find_library(),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
