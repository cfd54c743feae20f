"""One version: packages are made for each other, and their wheels ask for each other in it."""

import re
import tomllib

from conventions.tree import ROOT, files

MANIFESTS = files("pyproject.toml", "*/pyproject.toml", "*/*/pyproject.toml")


def test_all_packages_and_images_have_the_version_of_the_whole() -> None:
    """Prevents a release some of whose packages have the version of the last one."""
    whole: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = {path: tomllib.loads(path.read_text())["project"]["version"] for path in MANIFESTS}
    images = re.findall(
        r"^ARG VERSION=(.*)$", (ROOT / "deploy/images/Dockerfile").read_text(), re.MULTILINE
    )

    assert len(found) > 10
    assert {*found.values(), *images} == {whole}
