"""Finish an environment of an image: take out what never runs, compile the rest to bytecode, and try the engine.

Run by the Dockerfile, with the environment's own Python.
"""

import compileall
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))
# Scripts that activate an environment in a shell: an image has its environment in PATH.
NEEDLESS = ("activate*", "deactivate*", "pydoc.bat")


def main() -> None:
    """Finish the environment; exits with 1 if the engine is not what workers would use."""
    for folder in PACKAGES.rglob("tests"):
        shutil.rmtree(folder)
    for stub in (*PACKAGES.rglob("*.pyi"), *PACKAGES.rglob("*.c"), *PACKAGES.rglob("*.pxd")):
        stub.unlink()
    for pattern in NEEDLESS:
        for script in (PACKAGES.parents[2] / "bin").glob(pattern):
            script.unlink()
    for library in PACKAGES.rglob("*.so*"):
        subprocess.run(("strip", "--strip-unneeded", library), check=True)
    if not compileall.compile_dir(PACKAGES, quiet=1, workers=0):
        sys.exit("some package has a source that Python cannot compile")
    if "--engine" in sys.argv:
        check_engine()


def check_engine() -> None:
    """Check that the engine is compiled, and so are the modules of the workers."""
    from towonel.relay.hop import _compiled  # noqa: F401, PLC0415
    from towonel.relay.hop.modules import find_folder  # noqa: PLC0415

    if find_folder() is None:
        sys.exit("the compiled modules are not where workers look for them")


if __name__ == "__main__":
    main()
