"""What the document shows as a body is taken when it is sent, by a hub that has what it names."""

import json
import re
from collections.abc import Generator
from typing import Any

import pytest
import requests
from support.example_hub import TENANT, Served, served
from support.example_requests import IDS, Authorization
from support.legacy_client import signed
from support.openapi import document

from towonel.hub.store.db.database import Database

DOCUMENT: dict[str, Any] = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
# From the last to the first: limits are lowered after what they would forbid, and invites come last.
OPERATIONS = [
    (operation["operationId"], method, path, operation["requestBody"])
    for path, methods in reversed(DOCUMENT["paths"].items())
    for method, operation in methods.items()
    if "requestBody" in operation
]
# It takes a grant, and one that holds for somebody else's hub cannot be shown.
SECRET = {"refresh", "leave"}


@pytest.fixture
def hub(database: Database) -> Generator[Served]:
    with served(database) as made:
        yield made


def test_every_body_that_the_document_shows_is_taken(hub: Served) -> None:
    answers = dict[str, tuple[int, str]]()
    for name, method, path, body in OPERATIONS:
        if name == "create_invite":  # its names are taken by the invite that all others are about
            assert requested(hub, "revoke_invite", "delete", "/v1/invites/{invite_id}").ok
        answer = requested(hub, name, method, path, displayed(name, body))
        answers[name] = answer.status_code, answer.text if answer.status_code >= 400 else ""

    assert len(answers) > 12
    assert {name: answer for name, answer in answers.items() if answer[0] != 200} == {
        name: (401, answers[name][1]) for name in SECRET
    }


def requested(
    hub: Served, name: str, method: str, path: str, body: bytes | None = None
) -> requests.Response:
    headers = {"content-type": "application/json"}
    url = hub.url + path.format(**IDS)
    auth = Authorization(name)
    return requests.request(method, url, data=body, headers=headers, auth=auth, timeout=20)


def displayed(name: str, body: dict[str, Any]) -> bytes:
    """The bytes of an example; those of an entry are signed here, as its text says."""
    if "application/json" in body["content"]:
        schema = re.findall(r"schemas/(\w+)", str(body["content"]))[0]
        return json.dumps(SCHEMAS[schema]["examples"][0]).encode()
    [text] = re.findall(r"^    ([0-9a-f]+)$", body["description"], re.MULTILINE)
    data = bytes.fromhex(text)
    return signed(TENANT, data) if name == "submit_entry" else data
