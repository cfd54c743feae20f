"""The API against its document, with many more examples than `test_schema` has: `make soak`."""

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from support.example_hub import Served, served
from support.fuzz import explore, keeps_to_document
from support.openapi import operations

from towonel.hub.store.db.database import Database


@pytest.fixture
def hub(database: Database) -> Generator[Served]:
    with served(database) as made:
        yield made


MANY = settings(
    max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.soak
@pytest.mark.parametrize("name", operations())
def test_an_operation_keeps_to_its_document_for_long(name: str, hub: Served) -> None:
    explore(name, MANY, keeps_to_document(hub.url), has_coverage=True)
