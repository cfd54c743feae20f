"""Agents behind bad networks: no byte is wrong, no connection outlives its timeout, and every link comes back.

Only `make chaos` plays these scenarios, and prints their table; the seed of another run repeats it: `SEED=7`.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.chaos.scenarios import SCENARIOS, Scenario
from support.chaos.lab import Lab, running_lab
from support.chaos.rows import Row, count_packets, describe, find_never
from support.chaos.traffic import Traffic
from support.stack import until

SEED = int(os.environ.get("CHAOS_SEED", "1"))
WARM_S = 0.5  # before it begins: transfers are in the middle then
END_S = 45.0  # 15 s without an acknowledgement, and 5 s between looks at that; 35 s where nothing is on the way
FLOW_S = 10.0  # for a datagram to come back
ON_S = 2.0  # for which new clients come after the link is back
IDLE_S = 40.0  # of a session without clients: 10 s until its edge pings, and 30 s from there
LATE_S = 2.0
NEVER = "not"

type Report = Callable[[str, object], None]


async def play(scenario: Scenario, lab: Lab, traffic: Traffic) -> Row:
    """Play a scenario while there is traffic, and return when that was, and how soon the link was back."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(WARM_S)
    began = loop.time()
    await scenario.begin(lab)
    await scenario.hold(lab, traffic)
    await scenario.end(lab)
    ended = loop.time()
    is_back = await returns(lab, scenario)
    back_s = loop.time() - ended
    await asyncio.sleep(ON_S)
    await traffic.finish(max(FLOW_S, ended + END_S - loop.time()))
    return {
        "lasted s": round(ended - began, 1),
        "back s": round(back_s, 1) if is_back else NEVER,
        "links": await lab.count_links(),
    }


async def returns(lab: Lab, scenario: Scenario) -> bool:
    """Return whether the link comes back in time."""
    by_tcp = False if scenario.over_udp else None
    try:
        await until(lambda: lab.is_back(by_tcp=by_tcp), scenario.back_s)
    except TimeoutError:
        return False
    return True


def find_faults(scenario: Scenario, lab: Lab, traffic: Traffic, row: Row) -> list[str]:
    """Return what is not as a scenario has it."""
    found = find_never(traffic.lasting + traffic.new)
    found += [f"at origin: {dict(origin.faults)}" for origin in lab.origins if origin.faults]
    if row["back s"] == NEVER:
        found.append(f"the link was not back after {scenario.back_s} s")
    if not scenario.may_fail:
        found += [str(outcome) for outcome in traffic.lasting if outcome.how == "error"]
    if scenario.refused_s is None:
        found += [str(outcome) for outcome in traffic.new if outcome.how == "error"]
    elif float(row["in s"]) > scenario.refused_s:
        found.append(f"a client was refused after {row['in s']} s")
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_connections_are_whole_or_end_in_time_and_the_link_is_back(
    scenario: Scenario, tmp_path: Path, record_property: Report
) -> None:
    async with running_lab(tmp_path, SEED, scenario.way) as lab:
        async with asyncio.TaskGroup() as tasks:
            traffic = Traffic(lab.places, tasks, scenario.each)
            await traffic.start()
            row = await play(scenario, lab, traffic)
        row |= describe(traffic.lasting, traffic.new)
        row |= count_packets(lab.network.count())
        record_property("chaos", {"scenario": scenario.name, "seed": SEED, **row})

        assert find_faults(scenario, lab, traffic, row) == []


async def test_an_agent_that_is_gone_is_noticed_though_no_client_waits_for_it(
    tmp_path: Path, record_property: Report
) -> None:
    async with running_lab(tmp_path, SEED, "lanes") as lab:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await lab.kill_agent()

        async def is_noticed() -> bool:
            return await lab.count_sessions() == 0

        await until(is_noticed, IDLE_S + LATE_S)
        row = {"scenario": "agent killed, no clients: noticed", "seed": SEED}
        record_property("chaos", {**row, "lasted s": round(loop.time() - began, 1)})
