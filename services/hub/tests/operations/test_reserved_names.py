"""Names that edges answer themselves: no tenant publishes one, whatever its invite covers."""

import pytest
from support.hub import running_hub, tenant_of

from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.wire.errors import Code, Denied


async def test_the_hubs_own_name_is_refused_with_the_reason_and_a_wildcard_above_it_is_not(
    database: Database,
) -> None:
    reserved = frozenset({"hub.example.eu"})
    async with running_hub(database, RouteChanges(), reserved_names=reserved) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))

        async def publish(name: str) -> None:
            hub.clock.now_ms += 1
            service = ServiceIn.model_validate({"kind": "https", "name": name})
            state = DesiredState(group="default", services=[service])
            await hub.client().apply_desired_state(tenant, state)

        with pytest.raises(Denied, match=r"hub\.example\.eu; publish others") as caught:
            await publish("hub.example.eu")
        await publish("*.example.eu")

        assert caught.value.code is Code.HOSTNAME_CONFLICT
