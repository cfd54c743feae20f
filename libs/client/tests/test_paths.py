"""What callers put into a path names one resource, or is not sent."""

from collections.abc import Callable
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.client import paths
from towonel.wire.errors import Code, Denied

BUILDERS = [paths.by_id, paths.by_key, paths.by_hostname]
ANY = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a%2fb",
    "a b",
    "ä",
    "a\n",
    "\0",
    "a" * 400,
]


@pytest.mark.parametrize(
    ("build", "segment", "path"),
    [
        (paths.by_id, "pJ4yYx1sT0mQ8aWv7c2d3g", "/v1/x/pJ4yYx1sT0mQ8aWv7c2d3g"),
        (paths.by_id, "-_", "/v1/x/-_"),
        (paths.by_id, "b7" * 32, "/v1/x/" + "b7" * 32),
        (paths.by_id, b"\xb7" * 32, "/v1/x/" + "b7" * 32),
        (paths.by_key, "https:*.example.eu", "/v1/x/https%3A%2A.example.eu"),
        (paths.by_key, "tcp:2222", "/v1/x/tcp%3A2222"),
        (paths.by_key, "udp:53", "/v1/x/udp%3A53"),
        (paths.by_hostname, "*.example.eu", "/v1/x/%2A.example.eu"),
        (paths.by_hostname, "a-b.example.eu", "/v1/x/a-b.example.eu"),
    ],
)
def test_a_name_is_the_last_part_of_the_path(
    build: Callable[[str, bytes | str], str], segment: bytes | str, path: str
) -> None:
    assert build("/v1/x", segment) == path


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("segment", ANY)
def test_what_could_change_the_path_is_refused(
    build: Callable[[str, str], str], segment: str
) -> None:
    with pytest.raises(Denied) as caught:
        build("/v1/x", segment)

    assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    "key", ["ftp:a", "https:", "https:.", "https:..", "tcp", "a.b", ":a", "https:a:b", "https:.a"]
)
def test_a_key_is_a_kind_and_a_name(key: str) -> None:
    with pytest.raises(Denied):
        paths.by_key("/v1/x", key)


@pytest.mark.parametrize("build", BUILDERS)
@given(text=st.text(max_size=20))
def test_whatever_is_sent_stays_one_segment_in_a_url(
    build: Callable[[str, str], str], text: str
) -> None:
    try:
        path = build("/v1/x", text)
    except Denied:
        return

    raw = httpx.URL(f"https://hub.example.eu{path}").raw_path.decode()
    assert raw == path
    assert [unquote(part) for part in raw.split("/")] == ["", "v1", "x", text]
