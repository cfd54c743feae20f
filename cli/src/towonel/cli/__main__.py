"""`python -m towonel.cli` is the command `towonel`."""

import contextlib
import io
import os
import sys

from towonel.runtime.exit_codes import EXIT_FAILED
from towonel.runtime.interrupts import end_at_interrupt


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    end_at_interrupt()
    if sys.argv[1:] == ["serve", "--health"]:
        from towonel.cli.serving.health import check_health  # noqa: PLC0415 no other command needs it

        if (code := check_health()) is not None:
            sys.exit(code)
    from towonel.cli.app import app  # noqa: PLC0415 Ctrl-C may come while it is imported

    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be text, and a terminal may know few letters.
        sys.stdout.reconfigure(  # pyright: ignore[reportUnknownMemberType] of any buffer
            errors="backslashreplace"
        )
    try:
        app(prog_name="towonel")
    except OSError as error:  # the output cannot be written: a full disk, a closed terminal
        # Imported late: most runs need none of it.
        from towonel.cli.errors import warn  # noqa: PLC0415

        with contextlib.suppress(OSError):
            warn(f"failed: {error.strerror or error}")
        # At once: Python would try again to write what is left, and complain in ten lines.
        os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
