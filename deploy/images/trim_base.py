"""Take out of the image of Python what no program of ours has a use for; the package manager is a part of it.

Run by the Dockerfile, as root. The packages that are taken out leave dpkg's list, too, so that bills of materials
and scanners see what is there. It ends with 1 if what stays needs something that went.
"""

import compileall
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Package managers, what only they and logins need, and filesystems. A shell, coreutils, grep, sed, tar and findutils
# stay: people look into containers.
PACKAGES = re.compile(
    r"adduser|apt|base-passwd|bsdutils|debconf|debian-archive-keyring|diffutils|dpkg|gpgv|hostname|init-system-helpers|login.*"
    r"|libapt-pkg.*|libaudit.*|libblkid1|libcap-ng0|libdb5.3.*|libdebconfclient0|libgmp10|libhogweed.*|liblastlog2-2|liblz4-1"
    r"|libmount1|libnettle.*|libpam.*|libseccomp2|libsemanage.*|libsepol2|libsmartcols1|libsystemd0"
    r"|libudev1|libxxhash0|logsave|mawk|mount|ncurses-bin|netbase|openssl|openssl-provider-legacy|passwd|perl-base"
    r"|python3-(pip|setuptools|venv|wheel).*|python3.13-venv|sqv|sysvinit-utils|util-linux"
)
STDLIB = Path(sysconfig.get_path("stdlib"))
MODULES = ("ensurepip", "idlelib", "pydoc_data", "test", "tkinter", "turtledemo", "lib2to3")
# Of Python, what runs modules that went, and of coreutils, what needs libraries that nothing else does.
SCRIPTS = ("pip*", "idle*", "pydoc*", "python*-config", "python*-gdb.py")
COREUTILS = ("expr", "factor", "pinky", "users", "who")
OTHERS = (
    *(
        "/usr/share/doc",
        "/usr/share/man",
        "/usr/share/info",
        "/usr/share/locale",
        "/usr/share/lintian",
    ),
    *(
        "/usr/share/bug",
        "/usr/share/bash-completion",
        "/usr/share/perl5",
        "/usr/share/python-wheels",
    ),
    *("/usr/include", "/usr/local/include", "/etc/apt", "/etc/alternatives/awk", "/root/.cache"),
    *(
        "/var/cache/apt",
        "/var/cache/debconf",
        "/var/lib/apt",
        "/var/lib/pam",
        "/var/log",
        "/var/lib/dpkg/info",
    ),
)
STATUS = Path("/var/lib/dpkg/status")


def main() -> None:
    """Take all of it out."""
    take_out_packages()
    libraries = Path(f"/usr/lib/{platform.machine()}-linux-gnu")
    unused = [*STDLIB.glob("config-3.13-*"), *STDLIB.glob("site-packages/pip*")]
    # Modules whose libraries are not there: Tk never was.
    unused += [*STDLIB.glob("lib-dynload/_*dbm*"), *STDLIB.glob("lib-dynload/_tkinter*")]
    unused += [*Path("/usr/lib/python3/dist-packages").glob("pip*")]
    unused += [each for name in SCRIPTS for each in Path("/usr/local/bin").glob(name)]
    unused += [*libraries.glob("gconv"), *libraries.glob("*.a"), libraries / "perl-base"]
    unused += [Path("/usr/bin") / name for name in COREUTILS]
    for path in (*unused, *(STDLIB / name for name in MODULES), *map(Path, OTHERS)):
        remove(path)
    Path("/var/log").mkdir()
    # A read-only image cannot keep what Python compiles at each start.
    compileall.compile_dir(STDLIB, quiet=2, workers=0)
    check_libraries()


def take_out_packages() -> None:
    """Remove the files of the packages, and the packages from dpkg's list, which has some without files."""
    status = STATUS.read_text().split("\n\n")
    names = [re.match(r"Package: (.*)", paragraph) for paragraph in status]
    gone = [name[1] for name in names if name and PACKAGES.fullmatch(name[1])]
    listed = subprocess.run(("dpkg", "-L", *gone), check=False, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        path = Path(line)
        if path.is_symlink() or path.is_file():
            path.unlink()
    kept = [
        paragraph
        for name, paragraph in zip(names, status, strict=True)
        if not (name and name[1] in gone)
    ]
    STATUS.write_text("\n\n".join(kept))
    remove(STATUS.with_name("status-old"))


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def find_binaries() -> Iterator[Path]:
    """Yield each program and library that stays."""
    for folder in ("/usr/bin", "/usr/sbin", "/usr/local", "/usr/lib"):
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and read_magic(path) == b"\x7fELF":
                yield path


def read_magic(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(4)


def check_libraries() -> None:
    """Check that each program and library that stays finds its libraries; exits with 1 if not."""
    broken = False
    for path in find_binaries():
        said = subprocess.run(("ldd", path), check=False, capture_output=True, text=True).stdout
        for line in said.splitlines():
            if "not found" in line:
                print(f"{path}: {line.strip()}", file=sys.stderr)
                broken = True
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
