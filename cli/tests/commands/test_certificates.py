"""`towonel certificate`: what people see of certificates, and what they ask for, at a real hub."""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, override

import httpx
import pytest
from support.commands import CommandedHub
from support.hub import registration, state, tenant_of
from support.polling import pauses
from support.reported_certificates import certificate, report_of

from towonel.api.certificates.items import CertificateDetail, CertificateItem
from towonel.api.certificates.reports import CertificateReport, CertificateRequest
from towonel.api.invites import InviteIn
from towonel.cli.certificates import find_failure, format_state, is_renewed, wait_renewed
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken, InviteToken

NAME, BROKEN = "cert.example.eu", "broken.example.eu"
AT = datetime(2026, 11, 28, tzinfo=UTC)


@dataclass(frozen=True)
class Edge:
    """An edge of a hub, which reports what a test says."""

    hub: CommandedHub
    key: NodeKey

    def is_listed(self) -> bool:
        """Whether the hub shows what this edge reported."""
        listed = self.hub.json_of("certificates", "list", "--edge", self.key.public.hex())
        return bool(listed["certificates"])

    def report(self, *found: CertificateReport) -> list[CertificateRequest]:
        async def send() -> list[CertificateRequest]:
            async with self.hub.client() as client:
                answer = await client.report_edge(self.key, report_of(*found))
            return answer.certificate_requests or []

        return asyncio.run(send())


def made(hostname: str = NAME, **changes: Any) -> CertificateReport:
    return certificate(hostname, time.time_ns() // 1_000_000, **changes)


FAILED = {
    "state": "failed",
    "source": None,
    "error": "caa: forbidden",
    "fix": "Let it.",
    "serial": "",
}


@pytest.fixture(scope="module")
def registered(hub: CommandedHub) -> Edge:
    async def make() -> NodeKey:
        async with hub.client() as client:
            invite = await client.invites.create(InviteIn(hostnames=[NAME, BROKEN]))
            token = InviteToken.decode(invite.token)
            await client.apply_desired_state(tenant_of(token), state(NAME, BROKEN))
            invited = await client.edge_invites.create("cert")
            edge = NodeKey.from_seed(EdgeToken.decode(invited.token).seed)
            await client.register_edge(edge, registration(edge))
        return edge

    return Edge(hub, asyncio.run(make()))


@pytest.fixture
def edge(registered: Edge) -> Edge:
    """The edge, and the hub shows what it has reported: for half a minute, and within a second."""
    if not registered.is_listed():
        registered.report(made(), made(BROKEN, **FAILED))
    for pause_s in pauses():
        if registered.is_listed():
            return registered
        time.sleep(pause_s)
    raise AssertionError("there is always another pause")


def test_certificates_are_listed_by_name_and_filtered(edge: Edge) -> None:
    hub = edge.hub
    lines = hub.stdout_of("certificates", "list").splitlines()
    failed = hub.json_of(
        "certificate", "list", "--state", "failed", "--edge", edge.key.public.hex()
    )

    assert lines[0].split()[:5] == ["HOSTNAME", "STATE", "EXPIRES", "RENEWS", "ISSUER"]
    assert [line.split()[:2] for line in lines[1:]] == [[BROKEN, "failed"], [NAME, "valid"]]
    assert "caa: forbidden" in lines[1]
    assert [it["hostname"] for it in failed["certificates"]] == [BROKEN]
    assert hub.stdout_of("certificate", "list", "--hostname", "none.example.eu").startswith(
        "No edge"
    )


def test_one_is_shown_with_its_error_and_what_to_do(edge: Edge) -> None:
    good = edge.hub.stdout_of("certificate", "show", NAME)
    bad = edge.hub.stdout_of("certificate", "show", BROKEN)

    assert "issuer     R11" in good
    assert "source     ordered by ACME" in good
    assert "error      caa: forbidden\nfix        Let it." in bad


def test_the_status_names_those_that_clients_lack(edge: Edge) -> None:
    status = edge.hub.json_of("status")
    reported = edge.hub.stdout_of("status")

    assert (status["certificates_failing"], status["certificates_expiring"]) == (1, 0)
    assert BROKEN in reported
    assert "Let it." in reported


def test_what_is_asked_reaches_the_edge(edge: Edge) -> None:
    said = edge.hub.stdout_of("certificate", "renew", BROKEN)
    revoked = edge.hub.json_of("certificate", "revoke", NAME, "--reason", "superseded")
    asked = edge.report(made(), made(BROKEN, **FAILED))

    assert BROKEN in said
    assert revoked["edges"] == [edge.key.public.hex()]
    assert {(it.hostname, it.action, it.reason) for it in asked} == {
        (BROKEN, "renew", "unspecified"),
        (NAME, "revoke", "superseded"),
    }


def test_what_cannot_be_done_ends_with_1_and_the_reason(edge: Edge) -> None:
    refused = edge.hub.run("certificate", "revoke", BROKEN, "--json")
    unknown = edge.hub.run("certificate", "show", "none.example.eu")

    assert (refused.exit_code, unknown.exit_code) == (1, 1)
    assert json.loads(refused.stderr)["error"]["code"] == "invalid_request"
    assert "no live edge" in unknown.stderr
    assert edge.hub.run("certificate", "list", "--edge", "x").exit_code == 2


def item(**changes: Any) -> CertificateItem:
    fields: dict[str, Any] = {
        "hostname": NAME, "edge_id": "e1" * 32, "tenant_id": None, "state": "valid",
        "source": "acme", "issuer": "R11", "serial": "01", "not_before": AT, "not_after": AT,
        "renews_at": None, "is_ordering": False, "error": "", "fix": "", "retry_at": None,
    }  # fmt: skip
    return CertificateItem.model_validate({**fields, **changes})


class Shown(httpx.AsyncBaseTransport):
    """A hub that shows one state of a certificate after the other, and then always the last."""

    def __init__(self, *states: CertificateItem) -> None:
        self._states = list(states)

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        detail = CertificateDetail(hostname=NAME, tenant_id=None, certificates=[state])
        body = httpx.ByteStream(detail.model_dump_json().encode())
        return httpx.Response(200, stream=body)


async def wait(*states: CertificateItem, timeout_s: float = 20.0) -> str:
    """Wait for a renewal while the hub shows these states; return the new serial."""
    before, edge_id = item(), item().edge_id
    transport = Shown(*states)
    async with HubClient("http://127.0.0.1:9", operator_key="key", transport=transport) as hub:
        found = await wait_renewed(hub, NAME, {edge_id: before}, [edge_id], timeout_s, poll_s=0.001)
    return found[edge_id].serial


async def test_a_renewal_is_waited_for_until_there_is_another_certificate() -> None:
    ordering = item(is_ordering=True)

    assert await wait(item(), ordering, ordering, item(serial="02")) == "02"


async def test_a_renewal_that_fails_or_does_not_come_is_an_error_with_the_reason() -> None:
    failed = item(error="caa: forbidden", fix="Let it.", retry_at=AT)
    with pytest.raises(Denied, match=r"caa: forbidden\. Let it\.") as refused:
        await wait(item(), item(is_ordering=True), failed)
    with pytest.raises(Denied, match=r"no new certificate within 0\.01 s from: e1e1"):
        await wait(item(), timeout_s=0.01)

    assert refused.value.code is Code.NO_CERTIFICATE


def test_an_error_of_before_is_no_failure_of_this_renewal() -> None:
    before = item(error="caa: forbidden", retry_at=AT)
    later = item(error="caa: forbidden", retry_at=AT + timedelta(hours=1))

    assert find_failure(before, before) is None
    assert find_failure(before, later) == "caa: forbidden"
    assert find_failure(None, before) == "caa: forbidden"
    assert is_renewed(None, item())
    assert not is_renewed(None, item(serial=""))


def test_a_state_says_what_happens_meanwhile() -> None:
    failing = item(error="caa: forbidden")

    assert [format_state(it) for it in (item(), item(is_ordering=True), failing)] == [
        "valid",
        "valid, ordering another",
        "valid, renewal fails",
    ]
    assert format_state(item(state="failed", error="x")) == "failed"
