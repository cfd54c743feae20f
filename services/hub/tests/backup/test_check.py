"""`towonel-hub check` names each thing that cannot be, made here by hand."""

from sqlalchemy import text
from support.hub import TestHub, new_key, state, tenant_of
from support.legacy_client import legacy_client

from towonel.api.ports import ReservationIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.backup import check
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_for_writing

BROKEN = {
    "revision: there are 0 rows, and there must be one": "DELETE FROM revision",
    "revision: pruned up to 99, beyond the last change": "UPDATE revision SET pruned = 99",
    "revision: a route has 98, beyond the last change": "UPDATE routes SET revision = 98",
    "revision: a block has 97, beyond the last change": "UPDATE blocked_tenants SET revision = 97",
    "service: https:a.eu of tenant TENANT has no route": "DELETE FROM routes",
    "service: tcp:2222 of tenant TENANT has no route": "UPDATE routes SET removed_at_ms = 1",
    "service: https:a.eu of tenant 6f6f6f6f is routed to TENANT": (
        "UPDATE services SET tenant_id = {nobody}"
    ),
    "route: https:a.eu is routed to TENANT, and nobody owns it": (
        "UPDATE invite_hostnames SET pattern = 'b.eu' WHERE pattern = 'a.eu'"
    ),
    "route: tcp:2222 is routed to 6f6f6f6f, which has no live invite": (
        "UPDATE routes SET tenant_id = {nobody}"
    ),
    "invite: a.eu is held, its invite revoked": "UPDATE invites SET status = 'revoked'",
    "invite: a.eu is free, its invite pending": "UPDATE invite_hostnames SET active = (1 = 0)",
    "invite: b.c.eu stands below *.d.eu, and not *.c.eu": (
        "UPDATE invite_hostnames SET parent = '*.d.eu' WHERE pattern = 'b.c.eu'"
    ),
    "ports: tcp:3000-3009 and tcp:3009-3011 are both reserved": (
        "UPDATE port_reservations SET first_port = 3009 WHERE first_port = 3010"
    ),
    "ports: tcp:3000-3009 are reserved for 6f6f6f6f, which is no tenant": (
        "UPDATE port_reservations SET tenant_id = {nobody}"
    ),
    "entry: 1 of tenant THEIRS: ": "UPDATE entries SET signature = payload",
    "entry: 9 of tenant THEIRS: out of its place": "UPDATE entries SET sequence = 9",
}


async def populate(hub: TestHub) -> tuple[str, str]:
    """Two tenants with something of everything; returns how their ids begin."""
    client, token = hub.client(), await hub.invite("a.eu")
    tenant = tenant_of(token)
    tcp = ServiceIn(kind="tcp", name="ssh", port=2222)
    services = DesiredState(group="g", services=[*state("a.eu").services, tcp])
    await client.apply_desired_state(tenant, services)
    tenant_id = tenant.tenant_id
    for first, last in ((3000, 3009), (3010, 3011)):
        await client.ports.reserve(
            ReservationIn(protocol="tcp", first_port=first, last_port=last, tenant_id=tenant_id)
        )
    async with legacy_client(hub) as theirs:
        key = await theirs.tenant("b.c.eu")
        await theirs.accept(key, 1, "upsert_agent", agent_id=new_key().public)
    suspended = await hub.invite("d.eu")
    await client.tenants.suspend(tenant_of(suspended).tenant_id)
    return tenant_id.hex()[:8], key.tenant_id.hex()[:8]


async def test_each_thing_that_cannot_be_is_named(hub: TestHub, database: Database) -> None:
    tenant, theirs = await populate(hub)
    unnamed: dict[str, list[str]] = {}
    for problem, statement in BROKEN.items():
        found = broken(database, statement)
        wanted = problem.replace("TENANT", tenant).replace("THEIRS", theirs)
        if not any(reported.startswith(wanted) for reported in found):
            unnamed[problem] = found

    assert unnamed == {}
    assert check.problems(database) == []


def broken(database: Database, statement: str) -> list[str]:
    """What is found after a statement that is taken back then."""
    nobody = f"CAST('{'o' * 32}' AS {'BLOB' if database.is_sqlite else 'bytea'})"
    with open_for_writing(database) as connection:
        connection.execute(text(statement.format(nobody=nobody)))
        found = check.problems_in(connection)
        connection.rollback()
    return found


async def test_of_thousands_of_one_kind_some_are_told(hub: TestHub, database: Database) -> None:
    await hub.invite(*(f"n{number}.eu" for number in range(check.MAX_PROBLEMS + 5)))
    with open_for_writing(database) as connection:
        connection.execute(text("UPDATE invites SET status = 'revoked'"))
    found = check.problems(database)

    assert len(found) == check.MAX_PROBLEMS + 1
    assert found[-1] == "and more of the same"
