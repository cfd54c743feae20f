"""Finish the wheels of all packages, which uv has built: `make wheels`.

All are pure, and stay so, but that of the engine, `towonel-relay`. Of that there are three:

    cp313-cp313-manylinux_2_17_x86_64    with the hop and the modules of mypyc, for Linux on amd64
    cp313-cp313-manylinux_2_17_aarch64   the same on arm64
    py3-none-any                         with nothing compiled, for all others

An installer takes the first that fits. `towonel_compiled` has modules of edge and agent, too, in one unit: an
environment without these programs does not miss them. Each wheel asks for the others in its own version.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from compile_modules import ROOT, compile_into
from platforms import (
    MACHINES,
    PYTHON,
    compile_command,
    link_command,
    make_platform,
    name_tag,
    write_headers,
)
from wheel_files import Wheel

from towonel.relay.hop.modules import PACKAGE

ENGINE = "towonel_relay"
HOP = "towonel/relay/hop/_compiled"
PURE = "py3-none-any"


def finish(wheels: Path, into: Path) -> list[Path]:
    """Write the finished wheels of those in one folder into another one, and return them.

    Raises:
        CalledProcessError: a compiler refused, or a wheel needs more of a system than its name says.
    """
    finished: list[Path] = []
    for path in sorted(wheels.glob("*.whl")):
        wheel = Wheel(path)
        finished.append(wheel.write(into, PURE))
        if wheel.name.startswith(f"{ENGINE}-"):
            finished += [write_compiled(wheel, into, machine) for machine in MACHINES]
        elif wheel.modules:
            raise ValueError(f"{path.name} has compiled modules: only those of {ENGINE} are made")
    return finished


def write_compiled(wheel: Wheel, into: Path, machine: str) -> Path:
    """Write the wheel of the engine for a machine, and return it."""
    with tempfile.TemporaryDirectory() as place:
        compiled = compile_engine(Path(place), machine)
    tag = name_tag(machine)
    path = wheel.write(into, f"{PYTHON}-{PYTHON}-{tag}", compiled)
    check_platform(path, tag)
    return path


def compile_engine(place: Path, machine: str) -> dict[str, bytes]:
    """Return the compiled modules for a machine, by their names in a wheel, and their list."""
    headers = write_headers(place / "include", machine)
    platform = make_platform(machine, headers)
    hop = place / "hop.so"
    source = ROOT / "libs/relay/src" / f"{HOP}.c"
    made = place / "hop.o"
    subprocess.run(
        [*compile_command(machine, headers), "-c", str(source), "-o", str(made)], check=True
    )
    subprocess.run([*link_command(machine), str(made), "-o", str(hop)], check=True)
    modules = place / PACKAGE
    compile_into(modules, platform=platform)
    files = {f"{PACKAGE}/{path.name}": path.read_bytes() for path in modules.iterdir()}
    return files | {f"{HOP}{platform.suffix}": hop.read_bytes()}


def check_platform(wheel: Path, tag: str) -> None:
    """Have auditwheel look which systems a wheel runs on.

    Raises:
        ValueError: fewer than its name says.
    """
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    said = " ".join(run.stdout.split())
    if f'platform tag: "{tag}"' not in said:
        raise ValueError(f"{wheel.name} is not of {tag}: {said}")


def main() -> None:
    """Finish the wheels of one folder into another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", type=Path, help="Folder of what `uv build` built.")
    parser.add_argument("into", type=Path, help="Folder that gets the finished wheels.")
    arguments = parser.parse_args()
    for path in finish(arguments.wheels, arguments.into):
        print(f"{path.stat().st_size / 1000:7.0f} kB  {path.name}")
    for path in arguments.wheels.glob(f"{ENGINE}-*.tar.gz"):
        shutil.copy(path, arguments.into)


if __name__ == "__main__":
    main()
