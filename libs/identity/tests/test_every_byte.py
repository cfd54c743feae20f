"""Signatures of nodes, tenants and hubs: any changed byte voids them."""

from collections.abc import Callable

import pytest

from towonel.identity.grants import Grant, issue, verify
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import (
    Domain,
    Signature,
    authorize_node,
    authorize_tenant,
    authorize_tenant_request,
)
from towonel.wire import base64url
from towonel.wire.errors import Denied
from towonel.wire.ids import AgentId, TenantId

NOW, BODY = 1_800_000_000_000, b'{"group":"default"}'
NODE, TENANT = NodeKey.from_seed(b"\x2a" * 32), TenantKey.from_seed(b"\x2a" * 32)
type Check = Callable[[bytes], object]


def header(signer: bytes, signature: bytes) -> Signature:
    return Signature.parse(f"Signature {signer.hex()}.{NOW}.{base64url.encode(signature)}")


def node_request() -> tuple[bytes, Check]:
    signed = Signature.parse(authorize_node(NODE, Domain.AGENT_HEARTBEAT, BODY, NOW)).signature
    return signed, lambda it: header(NODE.public, it).check_node(Domain.AGENT_HEARTBEAT, BODY, NOW)


def desired_state() -> tuple[bytes, Check]:
    signed = Signature.parse(authorize_tenant(TENANT, Domain.DESIRED_STATE, BODY, NOW)).signature
    return signed, lambda it: header(TENANT.tenant_id, it).check_tenant(
        TENANT.public, Domain.DESIRED_STATE, BODY, NOW
    )


def tenant_request() -> tuple[bytes, Check]:
    signed = Signature.parse(authorize_tenant_request(TENANT, NOW)).signature
    return signed, lambda it: header(TENANT.tenant_id, it).check_tenant_request(TENANT.public, NOW)


def grant() -> tuple[bytes, Check]:
    said = Grant(AgentId(b"a" * 32), TenantId(b"t" * 32), "default", NOW, NOW + 1000)
    return issue(NODE, said), lambda it: verify(it, (NODE.public,), NOW)


@pytest.mark.parametrize(
    ("made", "step"),
    # The second of a tenant's is checked as the first, which takes a second for its 3309 bytes.
    [(node_request, 1), (desired_state, 1), (tenant_request, 11), (grant, 1)],
)
def test_what_was_signed_is_refused_with_any_byte_changed(
    made: Callable[[], tuple[bytes, Check]], step: int
) -> None:
    good, check = made()
    check(good)

    for at in {*range(0, len(good), step), len(good) - 1}:
        changed = bytearray(good)
        changed[at] ^= 1 << at % 8
        with pytest.raises(Denied):
            check(bytes(changed))


@pytest.mark.parametrize("made", [node_request, desired_state, tenant_request, grant])
def test_what_was_signed_is_refused_when_it_is_cut_or_longer(
    made: Callable[[], tuple[bytes, Check]],
) -> None:
    good, check = made()

    for other in (good[:-1], good[1:], good + b"\x00", b"\x00" + good, good * 2, b"\x00"):
        with pytest.raises(Denied):
            check(other)
