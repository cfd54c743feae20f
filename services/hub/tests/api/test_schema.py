"""The API does what its document says, whatever it is sent: schemathesis over every operation."""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from support.example_hub import Served, dump, served
from support.hub import migrated
from support.openapi import operations

from towonel.hub.store.db.database import Database

if TYPE_CHECKING:
    from schemathesis import Case

# What may be asked without a key: the hub's health, and what a secret or a signature in the body proves.
ANYBODY = {
    "health": {200, 400, 413},
    "bootstrap": {200, 400, 401, 404, 413},
    "submit_entry": {400, 403, 413, 422},
}
SIGNATURE_BYTES = 3309
BOUNDED = settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Untouched:
    """A hub, and what was in its database at first."""

    hub: Served
    database: Database
    before: dict[str, list[str]]


@pytest.fixture
def hub(database: Database) -> Generator[Served]:
    with served(database) as made:
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def untouched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Untouched]:
    """One hub for all tests that may write nothing."""
    if request.param == "sqlite":
        database = asyncio.run(migrated(tmp_path_factory.mktemp("untouched") / "hub.db"))
    else:
        database = request.getfixturevalue("server").database()
    with served(database) as hub:
        yield Untouched(hub, database, dump(database))


@pytest.mark.parametrize("name", operations("POST", "PUT", "PATCH", "DELETE"))
def test_an_operation_keeps_to_its_document(name: str, hub: Served) -> None:
    from support import fuzz  # noqa: PLC0415 it takes a second, in a worker that runs none of this

    fuzz.explore(name, BOUNDED, fuzz.keeps_to_document(hub.url))


@pytest.fixture
def locked(untouched: Untouched) -> Generator[Served]:
    yield untouched.hub
    assert dump(untouched.database) == untouched.before


@pytest.mark.parametrize("name", operations("GET"))
def test_what_reads_keeps_to_its_document_and_writes_nothing(name: str, locked: Served) -> None:
    from support import fuzz  # noqa: PLC0415

    fuzz.explore(name, BOUNDED, fuzz.keeps_to_document(locked.url))


@pytest.mark.parametrize("name", operations())
def test_nobody_writes_or_reads_without_a_key(name: str, locked: Served) -> None:
    from support import fuzz  # noqa: PLC0415

    def ask(case: "Case[Any]") -> None:
        if name == "submit_entry" and isinstance(case.body, bytes):
            case.body = forged(case.body)
        answer = case.call(locked.url)

        assert answer.status_code in ANYBODY.get(name, {400, 401})

    fuzz.explore(name, settings(BOUNDED, max_examples=2), ask)


def forged(entry: bytes) -> bytes:
    """An entry with a bit of its signature turned; anything else as it is."""
    if len(entry) < SIGNATURE_BYTES:
        return entry
    return entry[:-60] + bytes([entry[-60] ^ 1]) + entry[-59:]
