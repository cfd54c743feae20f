"""Certificates that clients see and origins do not have, as agents tell the hub."""

import pytest
from pydantic import ValidationError
from support.hub import TestHub, new_key

from towonel.api.agents import MAX_MISMATCHES, RefreshIn
from towonel.wire import base64url

KEYS = ["https:a.eu", "https:b.eu"]


async def test_an_agent_is_listed_with_what_it_found_last(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    grant = base64url.decode((await client.bootstrap(token, agent, "g")).grant or "")
    found = [(await client.agents.get(agent.public)).certificate_mismatches]
    for mismatches in (KEYS, ["https:a.eu"], []):
        await client.refresh(grant, agent, None, mismatches)
        found.append((await client.agents.get(agent.public)).certificate_mismatches)

    assert found == [[], KEYS, ["https:a.eu"], []]


async def test_an_agent_tells_of_as_many_as_a_request_may_have(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    grant = base64url.decode((await client.bootstrap(token, agent, "g")).grant or "")
    await client.refresh(grant, agent, None, [f"https:{n}.eu" for n in range(MAX_MISMATCHES + 1)])

    listed = (await client.agents.get(agent.public)).certificate_mismatches
    assert len(listed) == MAX_MISMATCHES


@pytest.mark.parametrize("key", ["https:a.eu\nhttps:b.eu", "x" * 261, "", "https:é.eu"])
def test_what_is_no_key_of_a_service_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="certificate_mismatches"):
        RefreshIn(grant="abc", certificate_mismatches=[key])
