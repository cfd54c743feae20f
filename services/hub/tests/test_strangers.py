"""Who has neither key nor invite: costs little, and passes for nobody else."""

from ipaddress import ip_network

from worlds.hub import opened

from towonel.hub.core.limits import FREE_STRIKES
from towonel.hub.feed import Bell
from towonel.hub.store.database import Database


async def test_what_a_client_says_before_the_line_of_its_proxy_makes_it_nobody_else(
    database: Database,
) -> None:
    async with (
        opened(database, Bell(), proxies=(ip_network("127.0.0.0/8"),)) as world,
        world.raw() as http,
    ):

        async def guess(number: int) -> int:
            headers = [
                ("authorization", "Bearer wrong"),
                ("x-forwarded-for", f"192.0.2.{number}"),  # the client's
                ("x-forwarded-for", "198.51.100.1"),  # HAProxy's
            ]
            return (await http.get("/v1/invites", headers=headers)).status_code

        answers = [await guess(number) for number in range(FREE_STRIKES + 2)]

    assert answers[-1] == 429
