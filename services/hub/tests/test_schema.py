"""The API does what its document says, whatever it is sent: schemathesis over every operation."""

from collections.abc import Generator

import pytest
import schemathesis.checks as found
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from worlds.fuzz import SCHEMA, Authorization
from worlds.known import Served, served

from towonel.hub.store.database import Database

CHECKS = [
    found.not_a_server_error,
    found.status_code_conformance,
    found.content_type_conformance,
    found.response_schema_conformance,
    found.response_headers_conformance,
    found.negative_data_rejection,
]
BOUNDED = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def hub(database: Database) -> Generator[Served]:
    with served(database) as made:
        yield made


@SCHEMA.parametrize()
@BOUNDED
def test_an_operation_keeps_to_its_document(case: Case, hub: Served) -> None:
    case.call_and_validate(hub.url, auth=Authorization(case), checks=CHECKS)
