"""Codec of tokens: the original's bytes, and no secret in any text about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.wire import base64url
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.tokens import EdgeToken, InviteToken

VECTORS = vectors.load("tokens")
TOKENS = st.builds(
    InviteToken,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    *(st.binary(min_size=n, max_size=n) for n in (16, 32, 32)),
)
GOOD = InviteToken("https://hub.example.eu", bytes(16), bytes(32), b"\x2a" * 32)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["kind"])
def test_tokens_have_the_bytes_of_the_original(vector: dict[str, str]) -> None:
    kind = InviteToken if vector["kind"] == "invite" else EdgeToken
    parts = (bytes.fromhex(vector[name]) for name in ("invite_id", "secret", "seed"))
    token = kind(vector["hub_url"], *parts)

    assert token.encode() == vector["text"]
    assert kind.decode(vector["text"]) == token


@given(TOKENS)
def test_what_is_encoded_decodes_to_the_same(token: InviteToken) -> None:
    assert InviteToken.decode(f"  {token.encode()}\n") == token


def test_the_two_kinds_never_decode_as_each_other() -> None:
    edge = EdgeToken(GOOD.hub_url, GOOD.invite_id, GOOD.secret, GOOD.seed)

    assert edge.encode() != GOOD.encode()
    with pytest.raises(ProtocolError, match="tt_edge_2_"):
        EdgeToken.decode(GOOD.encode())
    with pytest.raises(ProtocolError, match="tt_inv_2_"):
        InviteToken.decode(edge.encode())


def replace_segment(index: int, part: bytes | str) -> str:
    segments = GOOD.encode().removeprefix("tt_inv_2_").split(".")
    segments[index] = part if isinstance(part, str) else base64url.encode(part)
    return "tt_inv_2_" + ".".join(segments)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "tt_inv_2_"),
        (GOOD.encode().replace("_2_", "_1_"), "tt_inv_2_"),
        (GOOD.encode() + "A" * 4096, "tt_inv_2_"),
        ("tt_inv_2_a.b.c", "4 parts"),
        (GOOD.encode() + ".AA", "4 parts"),
        (replace_segment(0, b"\xff"), "not UTF-8"),
        (replace_segment(1, b"12345678"), "invite id has 8 bytes"),
        (replace_segment(2, "AA=="), "secret is not base64url"),
        (replace_segment(3, bytes(16)), "seed has 16 bytes"),
    ],
)
def test_other_tokens_are_refused_by_the_rule_they_break(text: str, rule: str) -> None:
    with pytest.raises(ProtocolError, match=rule) as caught:
        InviteToken.decode(text)

    assert caught.value.code is Code.BAD_TOKEN
    assert base64url.encode(GOOD.seed) not in str(caught.value)


def test_a_token_of_the_other_kind_is_told_with_the_command_that_makes_the_right_one() -> None:
    of_an_edge = EdgeToken("https://h", bytes(16), b"S" * 32, b"K" * 32).encode()

    with pytest.raises(
        ProtocolError, match=r"an agent's token: use one that `towonel edge-invite create` prints$"
    ):
        EdgeToken.decode(GOOD.encode())
    with pytest.raises(
        ProtocolError, match=r"an edge's token: use one that `towonel invite create` prints$"
    ):
        InviteToken.decode(of_an_edge)


def test_a_token_never_shows_its_secret_or_seed() -> None:
    token = InviteToken("https://h", bytes(16), b"S" * 32, b"K" * 32)

    assert "SSSS" not in repr(token)
    assert "KKKK" not in repr(token)
    assert "https://h" in repr(token)


@given(st.text(max_size=200).map(lambda text: "tt_inv_2_" + text))
def test_garbage_is_refused_with_one_code(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        InviteToken.decode(text)

    assert caught.value.code is Code.BAD_TOKEN
