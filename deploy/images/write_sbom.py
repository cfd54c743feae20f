"""Write the bill of materials of an image, in CycloneDX 1.5: Python, its packages, Debian's, and modules of Go.

Run by the Dockerfile with the Python of the image's environment, so that it lists what is there and not what was
asked for. It has no time and no random number: the same packages make the same file.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

type Component = dict[str, Any]


def make_component(name: str, version: str, purl: str, license_name: str = "") -> Component:
    """Return a library of the bill."""
    found: Component = {"type": "library", "name": name, "version": version, "purl": purl}
    found["bom-ref"] = purl
    if license_name:
        found["licenses"] = [{"license": {"name": license_name}}]
    return found


def find_python() -> Iterator[Component]:
    """Yield Python itself, and each package of this environment."""
    version = platform.python_version()
    yield make_component("python", version, f"pkg:generic/python@{version}", "Python-2.0.1")
    for one in distributions():
        name, version = one.metadata["Name"], one.version
        license_name = one.metadata.get("License-Expression") or ""
        yield make_component(name, version, f"pkg:pypi/{name.lower()}@{version}", license_name)


def find_debian(status: Path) -> Iterator[Component]:
    """Yield each package of dpkg's list that is installed."""
    for paragraph in status.read_text().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line and not line[0].isspace()]
        fields = dict(line.split(": ", 1) for line in lines if ": " in line)
        if fields.get("Status") == "install ok installed":
            name, version = fields["Package"], fields["Version"]
            where = f"arch={fields['Architecture']}&distro=trixie"
            yield make_component(name, version, f"pkg:deb/debian/{name}@{quote(version)}?{where}")


def find_go(modules: Path) -> Iterator[Component]:
    """Yield each module of a file with a name and a version a line."""
    for line in modules.read_text().splitlines():
        name, version = line.split()
        yield make_component(name, version, f"pkg:golang/{name}@{version}")


def main() -> None:
    """Write the bill that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="Name of the image.")
    parser.add_argument("version", help="Its version.")
    parser.add_argument("--debian", type=Path, required=True, help="The image's dpkg/status.")
    parser.add_argument("--go", type=Path, help="Modules of a program in Go.")
    parser.add_argument("--into", type=Path, required=True, help="File that gets the bill.")
    arguments = parser.parse_args()
    components = [*find_python(), *find_debian(arguments.debian)]
    if arguments.go:
        components += find_go(arguments.go)
    image = {"type": "container", "name": arguments.name, "version": arguments.version}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": image},
        "components": sorted(components, key=lambda one: str(one["purl"])),
    }
    arguments.into.write_text(json.dumps(bill, indent=1) + "\n")


if __name__ == "__main__":
    main()
