"""Proof of an edge beside its hub: who has the hub's key has it, and nobody else."""

from ipaddress import IPv4Address

import pytest

from towonel.identity.hub_proof import TLV_HUB_PROOF, has_hub_proof, make_hub_proof
from towonel.identity.keys import NodeKey
from towonel.wire.proxy import Address, ProxyHeader

KEY, OTHER = NodeKey.from_seed(b"k" * 32), NodeKey.from_seed(b"o" * 32)
PROOF = make_hub_proof(KEY)
HERE = Address(IPv4Address("192.0.2.1"), 1)


@pytest.mark.parametrize(
    ("tlvs", "has_proof"),
    [
        (((TLV_HUB_PROOF, PROOF),), True),
        (((0x02, b"hub.example.eu"), (TLV_HUB_PROOF, PROOF)), True),
        (((TLV_HUB_PROOF, make_hub_proof(OTHER)),), False),
        (((TLV_HUB_PROOF, PROOF[:31]),), False),
        (((0x02, PROOF),), False),
        ((), False),
    ],
)
def test_a_header_has_the_proof_of_the_very_key(
    tlvs: tuple[tuple[int, bytes], ...], has_proof: bool
) -> None:
    assert has_hub_proof(ProxyHeader(HERE, HERE, tlvs), PROOF) is has_proof


def test_the_proof_is_a_secret_of_its_own_and_always_the_same() -> None:
    assert make_hub_proof(NodeKey.from_seed(b"k" * 32)) == PROOF
    assert len(PROOF) == 32
    assert PROOF not in (KEY.public, b"k" * 32, make_hub_proof(OTHER))
