"""What a hub's health address tells; outages of what was there are in test_outages."""

import asyncio
from pathlib import Path
from typing import Any

from support.hub_process import running, settings
from support.plain_http import plain_client
from support.ports import free_port
from support.replicas import health, ready_until

from towonel.api.invites import InviteIn
from towonel.hub.settings import HubSettings
from towonel.hub.timing import Timing

HIDDEN = ("metrics", "readyz", "livez")


QUICK = Timing(health_check_s=0.1, maintenance_s=0.1)


async def reported(chosen: HubSettings, path: str) -> tuple[int, Any]:
    answer = await health(chosen, path)
    is_json = answer.headers["content-type"].startswith("application/json")
    return answer.status_code, answer.json() if is_json else answer.text


async def test_a_hub_that_is_well_says_so_without_a_key(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    async with running(chosen, QUICK):
        alive, ready = await reported(chosen, "livez"), await reported(chosen, "readyz")

    assert alive == (200, "ok")
    assert ready == (200, {"status": "ready", "reasons": {}})


async def test_a_redis_that_is_not_there_degrades_a_hub_and_keeps_it_ready(tmp_path: Path) -> None:
    chosen = settings(tmp_path, TOWONEL_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    async with running(chosen, QUICK) as client:
        await ready_until(chosen, lambda _status, reasons: "redis" in reasons)
        status, body = await reported(chosen, "readyz")
        created = await client.invites.create(InviteIn(hostnames=["a.eu"]))

    assert (status, body["status"], set(body["reasons"])) == (200, "degraded", {"redis"})
    assert created.token


async def test_metrics_are_told_where_health_is_and_nowhere_else(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    async with running(chosen, QUICK) as client:
        await client.invites.create(InviteIn(hostnames=["a.eu"]))
        async with asyncio.timeout(20):
            while "towonel_hub_tenants_total 1.0\n" not in (await reported(chosen, "metrics"))[1]:
                await asyncio.sleep(0.02)
        metrics = await health(chosen, "metrics")
        async with plain_client() as http:
            public = [await http.get(f"{client.base_url}/{path}") for path in HIDDEN]

    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert 'towonel_hub_requests_total{endpoint="/v1/invites",status="200"} 1.0' in metrics.text
    assert "towonel_hub_database_up 1.0" in metrics.text
    assert [answer.status_code for answer in public] == [404, 404, 404]
