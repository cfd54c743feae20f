"""Pytest plugin: on a new clone one worker of xdist compiles the tests, and the others take what it compiled.

Each would compile all of them with their assertions, for 5 s of processor time.
"""

import fcntl
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    with (session.config.rootpath / "conftest.py").open() as tree:
        if hasattr(session.config, "workerinput"):
            fcntl.flock(tree, fcntl.LOCK_EX)
        if is_compiled(session):
            fcntl.flock(tree, fcntl.LOCK_UN)
        return (yield)


def is_compiled(session: pytest.Session) -> bool:
    """Return whether the tests have been compiled that are collected last."""
    return any(session.config.rootpath.glob("tests/e2e/processes/__pycache__/test_*-pytest-*.pyc"))
