"""Edge around an issuer: what authority it has, whose names there are, and what workers get."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

from towonel.edge.certificates.acme.budgets import Budgets
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.metrics import Metrics
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import CertificateLoaded, CertificateRefused
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

TENANT = TenantId(b"t" * 32)
NAME = Hostname("app.example.eu")
NOW = datetime.now(UTC)
LIFE = timedelta(days=90)


class Place:
    """Edge around an issuer, and an authority that is a function."""

    def __init__(self, folder: Path, authority: trustme.CA, metrics: Metrics) -> None:
        self.sent: list[Message] = []
        self.orders: list[str] = []
        self.replaced: list[bytes | None] = []
        self.failure: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()
        self.tenants: dict[Hostname, TenantId] = {NAME: TENANT}
        self.now = NOW
        self.begins = timedelta()  # of certificates, after now
        self.folder, self.authority, self.metrics = folder, authority, metrics
        self.store = CertificateStore(self.sent.append)

    def make(self, *, per_domain: int = 0, **options: Any) -> Issuer:
        self.store.source = Issuer(
            *(self.order, self.store, self.folder, self.tenants.get),
            *(Budgets(per_domain), self.metrics),
            clock=lambda: self.now,
            **options,
        )
        return self.store.source

    def order(
        self, name: str, present: Callable[[bytes], None], replaced: bytes | None
    ) -> tuple[bytes, bytes]:
        self.orders.append(name)
        self.replaced.append(replaced)
        self.may_end.wait(20)
        if self.failure is not None:
            raise self.failure
        begins = self.now + self.begins
        issued = self.authority.issue_cert(name, not_before=begins, not_after=begins + LIFE)
        return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()

    def publish(self, names: Iterable[str]) -> list[Hostname]:
        published = [Hostname(name) for name in names]
        self.tenants.update(dict.fromkeys(published, TENANT))
        return published

    def refusals(self) -> list[str]:
        return [each.reason for each in self.sent if isinstance(each, CertificateRefused)]

    def loaded(self) -> list[str]:
        return [each.name for each in self.sent if isinstance(each, CertificateLoaded)]
