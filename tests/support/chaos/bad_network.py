"""Bad network between two namespaces, in which a packet relay sits.

    public (of the test)          router                             home
    net 10.99.0.1  ----veth----  public   to_public <- home  ----veth----  net 10.99.1.2
                                 public -> to_home     home
    look 10.99.9.1 ----veth-----------------------------------------  look 10.99.9.2

`to_public` and `to_home` are the relay's TUN devices: packets for the other side are routed into them. By `look` a test
reads the metrics of a program at home: nothing else goes that way.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

from support.chaos.impairment import NONE, Impairment
from support.chaos.namespaces import Namespace, ip
from support.chaos.packet_relay import TO_HOME, TO_PUBLIC

TESTS = Path(__file__).parents[2]
PUBLIC, ROUTER_PUBLIC, ROUTER_HOME = "10.99.0.1", "10.99.0.254", "10.99.1.254"
LOOK_PUBLIC, LOOK_HOME = "10.99.9.1", "10.99.9.2"
_FIRST_HOST, _FIRST_PREFIX = 2, 2  # of home, and of what others see of it


class BadNetwork:
    """Network whose impairments can be changed while it is used.

    Attributes:
        home: the namespace behind the router.
    """

    def __init__(self, home: Namespace, router: Namespace, relay: "subprocess.Popen[str]") -> None:
        self.home = home
        self._router = router
        self._relay = relay
        self._prefix = _FIRST_PREFIX
        self._host = _FIRST_HOST

    def impair(self, to_public: Impairment = NONE, to_home: Impairment = NONE) -> None:
        """Impair both directions so from now on."""
        self._tell({TO_PUBLIC: asdict(to_public), TO_HOME: asdict(to_home)})

    def rebind(self) -> None:
        """Give the router another address towards the public, as after its provider has dropped it."""
        self._prefix += 1
        self._tell({"outside": f"10.99.{self._prefix}.0"})

    def move_home(self) -> None:
        """Give home another address of its own, and take the one that it had."""
        self.home.ip("address", "del", f"10.99.1.{self._host}/24", "dev", "net")
        self._host += 1
        _address_home(self.home, self._host)

    def set_mtu(self, size: int) -> None:
        """Let only packets of this size pass; for larger ones the router says so by ICMP."""
        for device in (TO_PUBLIC, TO_HOME):
            self._router.ip("link", "set", device, "mtu", str(size))

    def count(self) -> Counter[str]:
        """Return what became of all packets so far, of both directions."""
        counts = self._tell({})
        return Counter[str](counts[TO_PUBLIC]) + Counter(counts[TO_HOME])

    def _tell(self, changes: dict[str, object]) -> dict[str, dict[str, int]]:
        assert self._relay.stdin
        assert self._relay.stdout
        self._relay.stdin.write(json.dumps(changes) + "\n")
        self._relay.stdin.flush()
        answer: dict[str, dict[str, int]] = json.loads(self._relay.stdout.readline())
        return answer


@contextlib.contextmanager
def bad_network(seed: int) -> Generator[BadNetwork]:
    """Make such a network, whose public side is the namespace of this thread; it impairs nothing yet."""
    with contextlib.ExitStack() as exits:
        home, router = Namespace(), Namespace()
        for each in (home, router):
            exits.callback(each.close)
        _join(router, "net", "public", PUBLIC, ROUTER_PUBLIC)
        exits.callback(ip, "link", "del", "net")
        _join(home, "look", "look", LOOK_PUBLIC, LOOK_HOME)
        exits.callback(ip, "link", "del", "look")
        ip("route", "add", "default", "via", ROUTER_PUBLIC)
        there = ("type", "veth", "peer", "name", "net", "netns", str(home.path))
        router.ip("link", "add", "home", *there)
        router.ip("address", "add", f"{ROUTER_HOME}/24", "dev", "home")
        router.ip("link", "set", "home", "up")
        home.ip("link", "set", "net", "up")
        _address_home(home, _FIRST_HOST)
        relay = exits.enter_context(_packet_relay(router, seed))
        _route_into_relay(router)
        yield BadNetwork(home, router, relay)


def _join(other: Namespace, here: str, there: str, near: str, far: str) -> None:
    """Join this thread's namespace with another by a veth pair."""
    peer = ("peer", "name", there, "netns", str(other.path))
    ip("link", "add", here, "type", "veth", *peer)
    ip("address", "add", f"{near}/24", "dev", here)
    ip("link", "set", here, "up")
    other.ip("address", "add", f"{far}/24", "dev", there)
    other.ip("link", "set", there, "up")


def _address_home(home: Namespace, host: int) -> None:
    home.ip("address", "add", f"10.99.1.{host}/24", "dev", "net")
    home.ip("route", "replace", "default", "via", ROUTER_HOME)


@contextlib.contextmanager
def _packet_relay(router: Namespace, seed: int) -> Generator["subprocess.Popen[str]"]:
    """Run the relay in the router's namespace, until its input ends."""
    program = router.run(
        subprocess.Popen,
        (sys.executable, "-m", "support.chaos.packet_relay", str(seed)),
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout
        assert program.stdout.readline(), "the relay has ended"
        yield program


def _route_into_relay(router: Namespace) -> None:
    """Have the router send what comes from one side into the device of the other, and forward what comes out."""
    for device in (TO_PUBLIC, TO_HOME):
        router.ip("link", "set", device, "up")
    for number, (side, device) in enumerate((("public", TO_HOME), ("home", TO_PUBLIC)), 10):
        router.ip("rule", "add", "iif", side, "lookup", str(number))
        router.ip("route", "add", "default", "dev", device, "table", str(number))
    for each in ("all", "default", "public", "home", TO_PUBLIC, TO_HOME):
        router.set_sysctl(f"conf/{each}/rp_filter", 0)
    router.set_sysctl("ip_forward", 1)
