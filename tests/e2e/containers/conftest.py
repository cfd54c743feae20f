"""Fixtures of the tests of containers: they need a Docker engine with Compose, and our images."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from support.compose_project import Project, has_engine, has_image, stand_in

_numbers = count(1)
OURS = ("towonel", "towonel-hub", "towonel-edge", "towonel-agent", "towonel-hub-caddy")


@pytest.fixture(scope="session")
def engine() -> None:
    """An engine with all images: official ones that no registry gave are made of Debian's packages."""
    if not has_engine():
        pytest.skip("needs a Docker engine with Compose")
    missing = [name for name in OURS if not has_image(name)]
    assert missing == [], "build them first: deploy/images"
    stand_in("caddy:2", "caddy")
    stand_in("prom/prometheus:v3.5.0", "prometheus")


@pytest.fixture
def project(engine: None, tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Make projects of files of deploy/compose; what they started is gone after the test."""
    made: list[Project] = []

    def make(*files: str, overlay: str, **variables: str) -> Project:
        name = f"towonel-test-{os.getpid()}-{next(_numbers)}"
        made.append(Project(name, files, tmp_path, variables, overlay))
        return made[-1]

    yield make
    for one in reversed(made):
        one.down(volumes=True)
