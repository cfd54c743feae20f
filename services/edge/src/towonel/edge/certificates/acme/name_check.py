"""Check that a name leads to this edge, before an authority is asked to look there."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from towonel.edge.certificates.acme.authority import OrderRefused
from towonel.edge.core.certificates.issuance import Refusal
from towonel.edge.core.certificates.name_addresses import describe_mismatch
from towonel.edge.own_addresses import find_sources
from towonel.runtime.addresses import IpAddress, unmap
from towonel.runtime.dns.resolver import Resolver
from towonel.wire.names import Hostname

WAIT_S: Final = 5.0  # for name servers


class NameCheck:
    """Check of names, by the system's name servers; the resolver keeps answers for some seconds.

    Args:
        hosts: names and addresses at which others reach this edge.
        resolver: of names.
        find_machine: returns the machine's own addresses.
        wait_s: for name servers.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        resolver: Resolver | None = None,
        find_machine: Callable[[], Iterable[str]] = find_sources,
        wait_s: float = WAIT_S,
    ) -> None:
        self._hosts = hosts
        self._resolver = resolver or Resolver()
        self._find_machine = find_machine
        self._wait_s = wait_s

    async def check(self, name: Hostname) -> None:
        """Let a name pass that leads here.

        Raises:
            OrderRefused: UNRESOLVED, ELSEWHERE.
        """
        found = await self._resolve(name)
        own = _parse(self._find_machine())
        for host in self._hosts:
            try:
                own |= await self._resolve(host)
            except OrderRefused:  # then it stands for no address
                continue
        if mismatch := describe_mismatch(found, own):
            raise OrderRefused(Refusal.ELSEWHERE, mismatch)

    async def _resolve(self, host: str) -> set[IpAddress]:
        try:
            async with asyncio.timeout(self._wait_s):
                return _parse(address[0] for address in await self._resolver.resolve(host, 443))
        except TimeoutError:
            reason = f"does not resolve: no answer of name servers within {self._wait_s:g} s"
        except OSError as error:
            reason = f"does not resolve: {error.strerror}"
        raise OrderRefused(Refusal.UNRESOLVED, reason)


def _parse(texts: Iterable[str]) -> set[IpAddress]:
    return {unmap(ip_address(text.partition("%")[0])) for text in texts}
