"""Platforms that compiled modules are made for: the one here, and those of the wheels.

For the latter the compiler is zig, of PyPI: it has the headers and the symbols of every glibc, for every machine,
so that what it makes here runs on the oldest one that its wheel names.
"""

import shlex
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GLIBC: Final = (2, 17)  # what no system with Python 3.13 is below: "manylinux2014"
MACHINES: Final = ("x86_64", "aarch64")
PYTHON: Final = f"cp{sys.version_info.major}{sys.version_info.minor}"
# What pyconfig.h says of the one machine alone: all else is the same on 64 bits of Linux with glibc.
ONLY_X86: Final = ("HAVE_GCC_ASM_FOR_X64", "HAVE_GCC_ASM_FOR_X87")


@dataclass(frozen=True)
class Platform:
    """Platform that modules are compiled for.

    Args:
        suffix: what the file of a module ends with.
        variables: of the environment of setuptools, as `NAME=value`, which choose its compiler.
    """

    suffix: str
    variables: tuple[str, ...] = ()


HERE: Final = Platform(str(sysconfig.get_config_var("EXT_SUFFIX")))


def make_platform(machine: str, headers: Path) -> Platform:
    """Return the platform of a Linux machine, which needs the headers of `write_headers`."""
    compiler = shlex.join(compile_command(machine, headers))
    suffix = f".cpython-{PYTHON.removeprefix('cp')}-{machine}-linux-gnu.so"
    variables = (
        f"CC={compiler}",
        f"LDSHARED={shlex.join(link_command(machine))}",
        f"SETUPTOOLS_EXT_SUFFIX={suffix}",
    )
    return Platform(suffix, variables)


def name_tag(machine: str) -> str:
    """Return the platform tag of a machine's wheels."""
    return f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{machine}"


def compile_command(machine: str, headers: Path) -> list[str]:
    """Return what compiles C for a machine, and says nothing of the folders that it did it in."""
    return [*_zig(machine), "-fno-sanitize=all", f"-I{headers}", "-DNDEBUG", "-O2", "-g0", "-fPIC"]


def link_command(machine: str) -> list[str]:
    """Return what links a module for a machine, without names that nobody needs."""
    return [*_zig(machine), "-shared", "-s"]


def write_headers(folder: Path, machine: str) -> Path:
    """Put the headers of Python for a machine into a new folder, and return it.

    They are those of the Python here, whose pyconfig.h some systems have in a place for this machine alone.
    """
    shutil.copytree(sysconfig.get_path("include"), folder)
    lines = Path(sysconfig.get_config_h_filename()).read_text()
    if machine != "x86_64":
        lines += "".join(f"#undef {name}\n" for name in ONLY_X86)
    (folder / "pyconfig.h").write_text(lines)
    return folder


def _zig(machine: str) -> list[str]:
    target = f"{machine}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
    return [sys.executable, "-m", "ziglang", "cc", "-target", target]
