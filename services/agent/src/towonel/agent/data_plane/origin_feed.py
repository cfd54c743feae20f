"""Feed of origins to an agent's workers: their addresses, and what workers say of them."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import batched

from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker.messages import (
    ORIGINS_PER_MESSAGE,
    HeadersUnread,
    OriginFacts,
    Origins,
    Refused,
    Resolved,
    ServiceName,
    name_service,
    to_key,
)
from towonel.runtime.dns.resolver import Resolver, parse_address
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey

_DETAILS: Mapping[Code, str] = {
    Code.NO_SERVICE: "this agent has no such service",
    Code.OVERLOADED: "as many streams are open as TOWONEL_AGENT_MAX_STREAMS allows",
}


class OriginFeed:
    """Feed of the origins of the environment.

    Args:
        services: of the environment.
        resolver: of the names of origins.
        origin_log: says what origins do wrong.
        tell: sends a message to all workers.
    """

    def __init__(
        self,
        services: Collection[Service],
        resolver: Resolver,
        origin_log: OriginLog,
        tell: Callable[[Origins | Resolved], None],
    ) -> None:
        self._origins = _by_key(services)
        self._added: Mapping[ServiceKey, Origin] = {}
        self._resolver = resolver
        self._log = origin_log
        self._tell = tell
        self._looking_up: set[ServiceName] = set()

    def describe(self) -> Iterator[Origins]:
        """Return what a worker is to know of origins."""
        return _describe(self._origins.items())

    def change(self, services: Collection[Service]) -> None:
        """Have the origins of these services, and those that were added; workers are told what has changed."""
        self._replace({**_by_key(services), **self._added})

    def add(self, services: Collection[Service]) -> None:
        """Have the origins of these services as well, in place of those that were added before."""
        own = {key: each for key, each in self._origins.items() if key not in self._added}
        self._added = _by_key(services)
        self._replace({**own, **self._added})

    def _replace(self, origins: Mapping[ServiceKey, Origin]) -> None:
        before, self._origins = self._origins, origins
        ended = tuple(name_service(key) for key in before if key not in origins)
        for names in batched(ended, ORIGINS_PER_MESSAGE, strict=False):
            self._tell(Origins(ended=names))
        changed = [item for item in origins.items() if before.get(item[0]) != item[1]]
        for message in _describe(changed):
            self._tell(message)

    def look_up(self, service: ServiceName, tasks: asyncio.TaskGroup) -> None:
        """Answer with the addresses of now: all workers, and once, however many of them ask."""
        if service not in self._looking_up:
            self._looking_up.add(service)
            tasks.create_task(self._answer(service))

    def log(self, event: Refused | HeadersUnread) -> None:
        """Say what origins do wrong."""
        key = to_key(event.service)
        if isinstance(event, Refused):
            code, origin = Code(event.code), self._origins.get(key)
            detail = _DETAILS.get(code) or _describe_failure(origin, event.detail)
            self._log.refuse(key, code, detail, times=event.count)
        elif key in self._origins and not self._origins[key].gets_plaintext:
            self._log.hint(key, self._origins[key], times=event.count)

    async def _answer(self, service: ServiceName) -> None:
        try:
            await self._resolve(service, to_key(service))
        finally:
            self._looking_up.discard(service)

    async def _resolve(self, service: ServiceName, key: ServiceKey) -> None:
        """Tell the addresses of a service's origin, and of no other that it had when they were asked for."""
        while (origin := self._origins.get(key)) is not None:
            self._resolver.expire(origin.host)
            try:
                addresses = await self._resolver.resolve(origin.host, origin.port)
            except OSError:
                addresses = ()
            if self._origins.get(key) == origin:
                self._tell(Resolved(service, addresses))
                return


def _by_key(services: Iterable[Service]) -> Mapping[ServiceKey, Origin]:
    return {service.key: service.origin for service in services}


def _describe(origins: Iterable[tuple[ServiceKey, Origin]]) -> Iterator[Origins]:
    for some in batched(origins, ORIGINS_PER_MESSAGE, strict=False):
        yield Origins(tuple(map(_facts_of, some)))


def _facts_of(item: tuple[ServiceKey, Origin]) -> OriginFacts:
    key, origin = item
    proxied = origin.proxy_protocol is ProxyProtocol.V2
    addresses = parse_address(origin.host, origin.port) or None
    idle_s, unanswered = origin.idle_timeout_s, origin.max_unanswered_bytes
    tls = origin.tls
    tls_facts = None if tls is None else (tls.server_name, tls.ca, tls.is_verified)
    return name_service(key), proxied, addresses, idle_s, unanswered, origin.ports, tls_facts


def _describe_failure(origin: Origin | None, detail: str) -> str:
    known = "" if origin is None else f"origin {origin}"
    return f"{known}: {detail}" if known and detail else known or detail
