"""The API against its document, with many more examples than `test_schema` has: `make soak`."""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from schemathesis import Case
from support.example_hub import Served, served
from support.fuzz import CHECKS, Authorization, name_of, schema

from towonel.hub.store.db.database import Database


@pytest.fixture
def hub(database: Database) -> Generator[Served]:
    with served(database) as made:
        yield made


@pytest.mark.soak
@schema().parametrize()
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_an_operation_keeps_to_its_document_for_long(case: "Case[Any]", hub: Served) -> None:
    case.call_and_validate(hub.url, auth=Authorization(name_of(case)), checks=CHECKS)
