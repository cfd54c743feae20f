"""Signed requests: valid for one purpose, one body and one minute."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.identity.keys import NodeKey, TenantKey, verify_tenant
from towonel.identity.signatures import (
    MAX_SKEW_MS,
    Domain,
    Signature,
    authorize_node,
    authorize_tenant,
    authorize_tenant_request,
    session_proof,
)
from towonel.wire.errors import Code, Denied

VECTORS = vectors.load("identity")
NOW = 1_700_000_000_000
NODE, TENANT = NodeKey.from_seed(b"\x2a" * 32), TenantKey.from_seed(b"\x2a" * 32)
BODY = b'{"group":"default"}'
HEADER = authorize_node(NODE, Domain.EDGE_REGISTER, BODY, NOW)


def code_of(header: str, domain: Domain, body: bytes, now_ms: int = NOW) -> Code:
    with pytest.raises(Denied) as caught:
        Signature.parse(header).check_node(domain, body, now_ms)
    return caught.value.code


def test_a_header_is_the_one_of_the_vector() -> None:
    assert authorize_node(NODE, Domain.EDGE_SUBSCRIBE, b"", NOW) == VECTORS["edge_sub_header"]


def test_what_was_signed_is_accepted() -> None:
    signature = Signature.parse(HEADER)
    signature.check_node(Domain.EDGE_REGISTER, BODY, NOW + MAX_SKEW_MS)
    signature.check_node(Domain.EDGE_REGISTER, BODY, NOW - MAX_SKEW_MS)

    assert signature.id == NODE.public
    assert signature.timestamp_ms == NOW


def test_a_tenants_request_is_checked_with_its_public_key() -> None:
    header = authorize_tenant(TENANT, Domain.DESIRED_STATE, BODY, NOW)
    signature = Signature.parse(header)
    signature.check_tenant(TENANT.public, Domain.DESIRED_STATE, BODY, NOW)

    assert signature.id == TENANT.tenant_id
    with pytest.raises(Denied):
        signature.check_tenant(TENANT.public, Domain.DESIRED_STATE, b"other", NOW)
    with pytest.raises(Denied) as caught:
        signature.check_tenant(TENANT.public, Domain.DESIRED_STATE, BODY, NOW + MAX_SKEW_MS + 1)
    assert caught.value.code is Code.CLOCK_SKEW


@pytest.mark.parametrize(
    ("later_ms", "told"), [(301_000, "301 s behind"), (-900_000, "900 s ahead of")]
)
def test_a_clock_that_is_wrong_is_told_with_whose_it_is_and_the_rule(
    later_ms: int, told: str
) -> None:
    signature = Signature.parse(authorize_tenant(TENANT, Domain.DESIRED_STATE, BODY, NOW))

    with pytest.raises(Denied) as caught:
        signature.check_time(NOW + later_ms)

    assert f"the clock of the machine that signed is {told} the hub's" in caught.value.detail
    assert "may be 300 s apart: set it" in caught.value.detail


def test_a_tenant_that_only_reads_signs_the_original_form_without_a_hash() -> None:
    signature = Signature.parse(authorize_tenant_request(TENANT, NOW))
    signature.check_tenant_request(TENANT.public, NOW + MAX_SKEW_MS)
    signature.check_tenant_request(TENANT.public, NOW - MAX_SKEW_MS)

    message = f"towonel/tenant-request/v1/{TENANT.tenant_id.hex()}/{NOW}".encode()
    verify_tenant(TENANT.public, signature.signature, message)
    assert (signature.id, signature.timestamp_ms) == (TENANT.tenant_id, NOW)


def test_a_request_to_read_is_refused_when_old_or_anothers_or_signed_for_something_else() -> None:
    good = Signature.parse(authorize_tenant_request(TENANT, NOW))
    with_hash = authorize_tenant(TENANT, Domain.TENANT_REQUEST, b"", NOW)
    other = TenantKey.from_seed(b"\x01" * 32)
    refused = [
        (good, TENANT.public, NOW + MAX_SKEW_MS + 1, Code.CLOCK_SKEW),
        (good, TENANT.public, NOW - MAX_SKEW_MS - 1, Code.CLOCK_SKEW),
        (good, other.public, NOW, Code.INVALID_SIGNATURE),
        (replace(good, timestamp_ms=NOW + 1), TENANT.public, NOW, Code.INVALID_SIGNATURE),
        (replace(good, id=other.tenant_id), TENANT.public, NOW, Code.INVALID_SIGNATURE),
        (Signature.parse(with_hash), TENANT.public, NOW, Code.INVALID_SIGNATURE),
    ]

    for signature, public_key, now_ms, code in refused:
        with pytest.raises(Denied) as caught:
            signature.check_tenant_request(public_key, now_ms)
        assert caught.value.code is code


def test_another_purpose_or_body_or_time_is_refused() -> None:
    assert code_of(HEADER, Domain.EDGE_SUBSCRIBE, BODY) is Code.INVALID_SIGNATURE
    assert code_of(HEADER, Domain.EDGE_REGISTER, BODY + b" ") is Code.INVALID_SIGNATURE
    assert code_of(HEADER, Domain.EDGE_REGISTER, BODY, NOW + MAX_SKEW_MS + 1) is Code.CLOCK_SKEW
    assert code_of(HEADER, Domain.EDGE_REGISTER, BODY, NOW - MAX_SKEW_MS - 1) is Code.CLOCK_SKEW
    shifted = HEADER.replace(str(NOW), str(NOW + 1))
    assert code_of(shifted, Domain.EDGE_REGISTER, BODY) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer abc", "Signature", HEADER + ".x", HEADER.replace("Signature ", "signature "),
        HEADER.replace(str(NOW), "now"), HEADER.replace(str(NOW), "9" * 16), HEADER + "=",
        HEADER.replace(NODE.public.hex(), NODE.public.hex().upper()), HEADER[:-1],
        HEADER.replace(NODE.public.hex(), "ab"),
    ],
)  # fmt: skip
def test_headers_of_another_form_are_unauthorized(header: str) -> None:
    with pytest.raises(Denied) as caught:
        Signature.parse(header)

    assert caught.value.code is Code.UNAUTHORIZED


@given(st.text(max_size=300))
def test_any_text_is_a_header_or_unauthorized(text: str) -> None:
    with pytest.raises(Denied) as caught:
        Signature.parse("Signature " + text)

    assert caught.value.code is Code.UNAUTHORIZED


def test_a_session_proof_differs_with_every_part() -> None:
    parts = [bytes([n]) * 32 for n in range(3)]
    proofs = {session_proof(*parts)}
    for at in range(3):
        changed = [*parts]
        changed[at] = b"\xff" * 32
        proofs.add(session_proof(*changed))

    assert len(proofs) == 4
    assert session_proof(*parts) == b"towonel/session-hello/v1" + b"".join(parts)


def test_the_purposes_are_frozen() -> None:
    assert {str(domain) for domain in Domain} == {
        "towonel/agent-heartbeat/v1",
        "towonel/edge-sub/v1",
        "towonel/agent-bootstrap/v1",
        "towonel/agent-refresh/v1",
        "towonel/agent-leave/v1",
        "towonel/edge-register/v1",
        "towonel/edge-report/v1",
        "towonel/desired-state/v1",
        "towonel/tenant-request/v1",
    }
