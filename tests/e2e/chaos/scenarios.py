"""Scenarios of bad networks: what happens to the network or the agent, for how long, and what is expected of it.

Each is an entry of `SCENARIOS`, which `test_chaos` plays.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from support.chaos.impairment import NONE, UDP, Impairment
from support.chaos.lab import Lab
from support.chaos.traffic import EACH, Traffic
from support.stack import Way, until

FAULT_S = 10.0
TRANSFERS_S = 60.0  # for downloads and uploads, at most
BY_TCP_S = 20.0  # an edge that answers nothing for 10 to 15 s is dialled over TCP
UDP_BACK_S = 75.0  # on a link over TCP, UDP is tried again after 30 to 60 s
REFUSED_S = 40.0  # an edge tries for 15 s; a client that it has served already is lost with its lane after 35 s
NOTICED_S = 3.5  # an agent without lanes that answers nothing: 3 s, and what the machine takes
SUSPENDED_S = (
    4.0  # two lanes that answer nothing, and QUIC; later on a stream's 3 s, and a wait before
)
CUT = Impairment(is_cut=True)
NO_UDP = Impairment(blocked=(UDP,))

type Act = Callable[[Lab], Awaitable[None]]
type Hold = Callable[[Lab, Traffic], Awaitable[None]]


async def end_impairment(lab: Lab) -> None:
    """Let the network be as it was."""
    lab.network.impair()


async def hold_for_a_while(lab: Lab, traffic: Traffic) -> None:
    """Let it last for ten seconds."""
    await asyncio.sleep(FAULT_S)


async def hold_for_transfers(lab: Lab, traffic: Traffic) -> None:
    """Let it last until downloads and uploads have ended."""
    await traffic.transferred(TRANSFERS_S)


async def hold_until_by_tcp(lab: Lab, traffic: Traffic) -> None:
    """Let it last until the link goes over TCP."""
    await until(lambda: lab.is_back(by_tcp=True), BY_TCP_S)


async def hold_not(lab: Lab, traffic: Traffic) -> None:
    """Let it be over at once."""


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Args:
        begin, hold, end: what happens, how long that lasts, and what ends it.
        way: of clients between edge and agent.
        each: connections of each kind and use.
        may_fail: whether connections that last may end with an error; never with wrong bytes, or not at all.
        over_udp: whether a link that goes over TCP is not back yet.
        back_s: within which the link is back, and new clients are served, after its end.
        refused_s: within which new clients are refused while it lasts; None where they are all to be served.
    """

    name: str
    begin: Act
    hold: Hold = hold_for_a_while
    end: Act = end_impairment
    way: Way = "lanes"
    each: int = EACH
    may_fail: bool = False
    over_udp: bool = False
    back_s: float = 10.0
    refused_s: float | None = None


def impair(to_public: Impairment, to_home: Impairment | None = None) -> Act:
    """Return what impairs the network, both directions alike unless there are two."""

    async def begin(lab: Lab) -> None:
        lab.network.impair(to_public, to_public if to_home is None else to_home)

    return begin


async def limit_packets(lab: Lab) -> None:
    """Let only small packets pass."""
    lab.network.set_mtu(1280)


async def rebind(lab: Lab) -> None:
    """Change the address that others see of home."""
    lab.network.rebind()


async def move(lab: Lab) -> None:
    """Change the address that home has."""
    lab.network.move_home()


async def suspend(lab: Lab) -> None:
    """Stop all processes of the agent, which are there and do nothing."""
    lab.signal_agent(signal.SIGSTOP)


async def resume(lab: Lab) -> None:
    """Let them go on."""
    lab.signal_agent(signal.SIGCONT)


def fault(name: str, begin: Act, hold: Hold = hold_for_a_while, **more: Any) -> Scenario:
    """Return a scenario in which connections may end, and new clients be refused."""
    chosen: dict[str, Any] = {"may_fail": True, "refused_s": REFUSED_S, **more}
    return Scenario(name, begin, hold, **chosen)


def weather(name: str, begin: Act, **more: Any) -> Scenario:
    """Return a scenario in which all goes well, though slowly."""
    return Scenario(name, begin, hold_for_transfers, **more)


LOSS_2, LOSS_10 = Impairment(loss=0.02), Impairment(loss=0.1)
SHUFFLE = Impairment(delay_s=0.05, jitter_s=0.02, reorders=True)
DOUBLE = Impairment(duplicates=0.1)
ALL = Impairment(0.02, 0.02, 0.05, 0.02, reorders=True)
FEW: dict[str, Any] = {
    "way": "streams",
    "each": 1,
}  # QUIC takes reordering for loss, and slows down
SCENARIOS = (
    Scenario(
        "UDP blocked, let through",
        impair(NO_UDP),
        hold_until_by_tcp,
        over_udp=True,
        back_s=UDP_BACK_S,
    ),
    fault("partition", impair(CUT)),
    fault("partition, streams", impair(CUT), way="streams"),
    fault("partition to the edge", impair(CUT, NONE)),
    fault("partition to the agent", impair(NONE, CUT)),
    fault("agent stopped", suspend, end=resume, refused_s=SUSPENDED_S),
    fault("agent killed, started", Lab.kill_agent, end=Lab.start_agent, refused_s=NOTICED_S),
    fault("other address outside", rebind, hold_not),
    fault("other address outside, streams", rebind, hold_not, way="streams"),
    fault("other address at home", move, hold_not),
    weather("delay 50 ± 20 ms, reordering, streams", impair(SHUFFLE), **FEW),
    weather("loss 10 %, streams", impair(LOSS_10), **FEW),
    weather("MTU 1280, streams", limit_packets, **FEW),
    weather("clean", impair(NONE)),
    weather("loss 2 %", impair(LOSS_2)),
    weather("loss 10 %", impair(LOSS_10)),
    weather("delay 50 ± 20 ms, reordering", impair(SHUFFLE)),
    weather("duplicates 10 %", impair(DOUBLE)),
    weather("MTU 1280", limit_packets),
    weather("loss, delay, reordering, duplicates", impair(ALL)),
)
