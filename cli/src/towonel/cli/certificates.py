"""Tables of certificates, and the wait for one that is renewed."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from towonel.api.certificates.items import CertificateItem
from towonel.api.certificates.reports import CertificateState
from towonel.cli.output import Rows, format_time
from towonel.cli.tables import SHORT
from towonel.client.operator import OperatorClient
from towonel.wire.errors import Code, Denied

MAX_TROUBLES = 20  # of each state that `towonel status` shows
POLL_S = 2.0  # edges report every ten seconds
TROUBLES: tuple[CertificateState, ...] = ("expired", "failed", "expiring")
COLUMNS = ("HOSTNAME", "STATE", "EXPIRES", "RENEWS", "ISSUER", "EDGE", "TENANT", "ERROR")

type Seen = Mapping[bytes, CertificateItem]  # by edge


def certificate_row(item: CertificateItem) -> tuple[str, ...]:
    """Return one certificate as a row of a table."""
    return (
        item.hostname,
        format_state(item),
        format_end(item),
        "" if item.renews_at is None else format_time(item.renews_at),
        item.issuer,
        item.edge_id.hex()[:SHORT],
        "" if item.tenant_id is None else item.tenant_id.hex()[:SHORT],
        item.error,
    )


def format_state(item: CertificateItem) -> str:
    """Format the state of a certificate, and what happens or fails meanwhile."""
    if item.state in {"ordering", "missing", "failed"}:
        return item.state
    if item.is_ordering:
        return f"{item.state}, ordering another"
    return f"{item.state}, renewal fails" if item.error and item.source == "acme" else item.state


def format_end(item: CertificateItem) -> str:
    """Format when a certificate ends; nothing without one."""
    return "" if item.not_after is None else format_time(item.not_after)


async def find_troubles(hub: OperatorClient) -> list[CertificateItem] | None:
    """Return certificates that clients lack, or will soon; None where the hub or the key does not show any."""
    found: list[CertificateItem] = []
    try:
        for state in TROUBLES:
            page = await hub.certificates.list(state=state, limit=MAX_TROUBLES)
            found += page.certificates
    except Denied as error:
        if error.code not in {Code.FORBIDDEN, Code.NOT_FOUND}:  # a hub of an older version has none
            raise
        return None
    return found


def count_troubles(items: Sequence[CertificateItem] | None) -> dict[str, int | None]:
    """Return how many names have no certificate, and of how many it ends soon; None for what is not shown."""
    if items is None:
        return dict.fromkeys(("certificates_failing", "certificates_expiring"))
    expiring = sum(item.state == "expiring" for item in items)
    return {"certificates_failing": len(items) - expiring, "certificates_expiring": expiring}


def trouble_rows(items: Iterable[CertificateItem]) -> Rows:
    """Return such certificates as a table, with what to do about each."""
    rows = [
        (it.hostname, format_state(it), format_end(it), it.edge_id.hex()[:SHORT], it.error, it.fix)
        for it in items
    ]
    return Rows(("HOSTNAME", "CERTIFICATE", "EXPIRES", "EDGE", "ERROR", "FIX"), rows, "")


async def fetch_seen(hub: OperatorClient, hostname: str) -> Seen:
    """Return the certificate of a name on each edge."""
    detail = await hub.certificates.get(hostname)
    return {item.edge_id: item for item in detail.certificates}


async def wait_renewed(
    hub: OperatorClient,
    hostname: str,
    before: Seen,
    edges: Sequence[bytes],
    timeout_s: float,
    poll_s: float = POLL_S,
) -> Seen:
    """Return the new certificates of a name, once each of these edges has one.

    Raises:
        Denied: NO_CERTIFICATE where an order failed, or the time is over.
    """
    until = time.monotonic() + timeout_s
    missing = set(edges)
    while True:
        seen = await fetch_seen(hub, hostname)
        for edge_id in missing & seen.keys():
            problem = find_failure(before.get(edge_id), seen[edge_id])
            if problem is not None:
                at = f"edge {edge_id.hex()[:SHORT]}"
                raise Denied(Code.NO_CERTIFICATE, f"{at}: {problem}. {seen[edge_id].fix}")
        missing -= {it for it in missing & seen.keys() if is_renewed(before.get(it), seen[it])}
        if not missing:
            return seen
        if time.monotonic() >= until:
            waiting = ", ".join(sorted(edge_id.hex()[:SHORT] for edge_id in missing))
            raise Denied(
                Code.NO_CERTIFICATE,
                f"no new certificate within {timeout_s:g} s from: {waiting}; `towonel certificate show"
                f" {hostname}` tells what comes of it",
            )
        await asyncio.sleep(poll_s)


def is_renewed(before: CertificateItem | None, now: CertificateItem) -> bool:
    """Tell whether a certificate is another one than before."""
    return bool(now.serial) and now.serial != (before.serial if before else "")


def find_failure(before: CertificateItem | None, now: CertificateItem) -> str | None:
    """Return why an order failed since, if it did: its error or its next try is another one then."""
    if not now.error or now.is_ordering:
        return None
    known = (before.error, before.retry_at) if before else None
    return None if known == (now.error, now.retry_at) else now.error
