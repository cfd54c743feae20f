"""Serving of certificates: what an edge's settings make of it."""

from pathlib import Path
from typing import Any, override

import pytest
from support.tunnel import until

from towonel.edge.certificates.serving import serve_certificates
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.settings import EdgeSettings
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import CertificateRefused
from towonel.runtime.settings import load
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route, RouteDelta, TlsMode

NAME = Hostname("localhost")  # which resolves everywhere
ROUTE = Route(ServiceKind.HTTPS, NAME, TenantId(b"t" * 32), tls_mode=TlsMode.TERMINATE)
ENVIRON = {
    "TOWONEL_EDGE_TLS_ACME_DIRECTORY": "https://127.0.0.1:1/dir",
    "TOWONEL_EDGE_ADVERTISED_ADDRESSES": "192.0.2.1:443",
}


class EveryService(Sessions):
    """Sessions of agents that serve everything."""

    @override
    def find(self, *_: Any) -> Any:
        return [object()]


@pytest.mark.parametrize(
    ("check", "reason"),
    [("true", "not to this edge (192.0.2.1"), ("false", "no answer of the authority")],
)
async def test_settings_decide_whether_a_name_must_lead_here(
    tmp_path: Path, metrics: Metrics, check: str, reason: str
) -> None:
    environ = {"TOWONEL_DATA_DIR": str(tmp_path), "TOWONEL_EDGE_TLS_ACME_CHECK_DNS": check}
    sent, table = list[Message](), RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    store, sessions = CertificateStore(sent.append), EveryService(table, Balancer(), metrics)
    settings = load(EdgeSettings, ENVIRON | environ)
    async with serve_certificates(store, settings, table, sessions, metrics):
        store.want(NAME, "192.0.2.9")
        await until(lambda: any(isinstance(each, CertificateRefused) for each in sent))

    [refused] = [each for each in sent if isinstance(each, CertificateRefused)]
    assert reason in refused.reason
