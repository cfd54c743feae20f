"""Start of workers: how they are started, and what they are told first."""

import secrets
from typing import Final

from towonel.edge.credentials import EdgeCredentials
from towonel.edge.flows.messages import Start as FlowStart
from towonel.edge.settings import EdgeSettings
from towonel.edge.timing import Timing
from towonel.edge.worker.messages import Start
from towonel.identity.certs import certificate_sha256, encode_private_key
from towonel.tunnel.streams import MAX_STREAMS

WORKER: Final = "towonel.edge.worker"
FLOW_WORKER: Final = "towonel.edge.flows"
MAX_FLOWS: Final = 4096
# Clients at once that control serves although their agents take lanes: its loop also has sessions to keep.
MAX_OVERFLOW: Final = 256

MAX_COUNTED_SESSIONS: Final = 65_536  # whose lanes all workers know of


def make_start(settings: EdgeSettings, credentials: EdgeCredentials, timing: Timing) -> Start:
    """Return the first message to each worker."""
    clients, limits = timing.clients, settings.limits
    return Start(
        edge_id=credentials.key.public,
        certificate_hash=certificate_sha256(credentials.certificate_pem),
        certificate_pem=credentials.certificate_pem,
        key_pem=encode_private_key(credentials.key),
        workers=settings.listen_workers,
        number=0,
        sessions=min(settings.max_sessions, MAX_COUNTED_SESSIONS),
        secret=secrets.token_bytes(16),
        proxies=[str(network) for network in settings.proxies],
        clients=limits.clients,
        per_source=limits.per_source,
        per_tenant=limits.per_tenant,
        source_share=limits.source_share,
        streams=MAX_OVERFLOW,
        streams_per_session=MAX_STREAMS,
        handshake_s=settings.handshake_timeout_s,
        open_s=clients.open_s,
        linger_s=clients.linger_s,
        idle_s=settings.idle_timeout_s,
        check_s=timing.count_s,
        report_s=timing.report_s,
        orphan_s=settings.drain_timeout_s,
        access_log=settings.access_log,
        access_lines=settings.access_log_lines,
        engine=settings.relay_engine.value,
    )


def make_flow_start(settings: EdgeSettings, timing: Timing) -> FlowStart:
    """Return the first message to the flow worker."""
    limits = settings.limits
    of_source = max(1, int(MAX_FLOWS * limits.source_share))
    return FlowStart(
        flows=MAX_FLOWS,
        per_source=min(limits.per_source, of_source),
        per_tenant=limits.per_tenant,
        report_s=timing.report_s,
    )
