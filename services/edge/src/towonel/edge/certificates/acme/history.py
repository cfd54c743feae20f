"""History of a name's orders: whether its certificate was ordered here, and how orders for it have failed.

It is a file beside the certificate, `<name>.acme`, so that a restart forgets no failure.
"""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from towonel.runtime import secretfile
from towonel.wire.names import Hostname

SUFFIX: Final = ".acme"


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """History of a name; times are in Unix seconds, 0 for none.

    Args:
        issued: whether the certificate that there is was ordered here: only such a one is renewed.
        failures: in a row, since the last certificate.
        retry_at: before which nothing is ordered.
        reason: of the last failure.
        first_at: when the name's first certificate came.
        issued_at: when the last one came, by this machine's clock.
        ends_at: when that one ends: another was put there by hand.
        revoked: whether its last certificate was revoked: nothing is ordered until somebody asks for it.
    """

    issued: bool = False
    failures: int = 0
    retry_at: float = 0.0
    reason: str = ""
    first_at: float = 0.0
    issued_at: float = 0.0
    ends_at: float = 0.0
    revoked: bool = False


NO_ORDERS: Final = OrderHistory()


def read_history(folder: Path, name: Hostname) -> OrderHistory:
    """Return the history of a name; one that cannot be read is none."""
    try:
        found = json.loads((folder / f"{name}{SUFFIX}").read_bytes())
        return OrderHistory(
            bool(found["issued"]),
            int(found["failures"]),
            float(found["retry_at"]),
            str(found["reason"]),
            first_at=float(
                found.get("first_at", 0.0)
            ),  # this and the others are missing in a file of an older version
            issued_at=float(found.get("issued_at", 0.0)),
            ends_at=float(found.get("ends_at", 0.0)),
            revoked=bool(found.get("revoked", False)),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return NO_ORDERS


def read_histories(folder: Path, names: Iterable[Hostname]) -> dict[Hostname, OrderHistory]:
    """Return the histories of names."""
    return {name: read_history(folder, name) for name in names}


def read_all_histories(folder: Path) -> dict[Hostname, OrderHistory]:
    """Return the histories of all names that have one."""
    return read_histories(folder, [Hostname(path.stem) for path in folder.glob(f"*{SUFFIX}")])


def write_history(folder: Path, name: Hostname, history: OrderHistory) -> None:
    """Write the history of a name.

    Raises:
        OSError: as of `secretfile.replace`.
    """
    secretfile.replace(folder / f"{name}{SUFFIX}", json.dumps(asdict(history)).encode())


def remove_histories(folder: Path, names: Iterable[Hostname]) -> None:
    """Remove the histories of names, as far as that can be done."""
    for name in names:
        with contextlib.suppress(OSError):
            (folder / f"{name}{SUFFIX}").unlink()
