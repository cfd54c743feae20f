"""Fixtures of the tests in a cluster: without one, nothing here has anything to try."""

import pytest
from support.kube import find_missing


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Fail with what is missing: these tests run only where they are asked for."""
    missing = find_missing()
    if missing is not None:
        pytest.fail(f"there is no {missing}")
