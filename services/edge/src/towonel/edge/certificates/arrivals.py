"""Arrivals of agents: the names that they serve get certificates before clients come."""

from collections.abc import Collection
from typing import override

from towonel.edge.certificates.store import CertificateStore
from towonel.edge.sessions import SessionObserver
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints


class AgentArrivals(SessionObserver):
    """Observer of sessions, which has the store's source consider names that are served from now on.

    Args:
        store: of certificates.
    """

    def __init__(self, store: CertificateStore) -> None:
        self._store = store

    @override
    def on_admitted(self, session: Session) -> None:
        self._consider(session.services)

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        self._consider(session.services - before)

    @override
    def on_going_away(self, session: Session) -> None:
        return

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        return

    def _consider(self, services: Collection[ServiceKey]) -> None:
        source = self._store.source
        if source is not None:
            names = (each.name for each in services if each.kind is ServiceKind.HTTPS)
            source.consider(map(Hostname, names))
