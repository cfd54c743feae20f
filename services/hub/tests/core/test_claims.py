"""How a tenant stands to a hostname: owned, outranked, or foreign; against the plainest model."""

from hypothesis import given
from hypothesis import strategies as st
from support.hostnames import covers

from towonel.hub.core.ownership import Claim, check_claim
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

A, B = TenantId(b"a" * 32), TenantId(b"b" * 32)
OWNERS = {Hostname("*.example.eu"): A, Hostname("app.example.eu"): B}
LABELS = st.sampled_from(["a", "b"])
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join).map(Hostname)
PATTERNS = st.one_of(NAMES, NAMES.map(lambda name: Hostname(f"*.{name}")))


def test_what_a_pattern_covers_is_owned_unless_another_covers_it_closer() -> None:
    assert check_claim(A, Hostname("x.example.eu"), OWNERS) is Claim.OWNED
    assert check_claim(B, Hostname("app.example.eu"), OWNERS) is Claim.OWNED
    assert check_claim(A, Hostname("app.example.eu"), OWNERS) is Claim.OUTRANKED


def test_a_name_beyond_every_pattern_is_foreign_whoever_owns_it() -> None:
    assert check_claim(B, Hostname("x.example.eu"), OWNERS) is Claim.FOREIGN
    assert check_claim(A, Hostname("evilexample.eu"), OWNERS) is Claim.FOREIGN
    assert check_claim(A, Hostname("example.eu"), OWNERS) is Claim.FOREIGN


@given(PATTERNS, st.dictionaries(PATTERNS, st.sampled_from([A, B]), max_size=6))
def test_a_name_has_at_most_one_owner_and_is_foreign_to_those_that_do_not_cover_it(
    name: Hostname, found: dict[Hostname, TenantId]
) -> None:
    claims = {tenant: check_claim(tenant, name, found) for tenant in (A, B)}
    covering = {tenant for pattern, tenant in found.items() if covers(pattern, name)}

    assert list(claims.values()).count(Claim.OWNED) == bool(covering)
    assert {t for t, claim in claims.items() if claim is not Claim.FOREIGN} == covering
