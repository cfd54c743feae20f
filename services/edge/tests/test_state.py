"""State of an edge on disk: its certificate and the snapshot of the routes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.credentials import (
    CERTIFICATE_FILE,
    EdgeCredentials,
    find_key_problems,
    load_credentials,
    to_datetime,
)
from towonel.edge.settings import EdgeSettings
from towonel.edge.snapshot import Snapshot, SnapshotFile, decode, encode
from towonel.identity.certs import LIFETIME_DAYS, VALID_FROM, certificate_public_key
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import load
from towonel.wire.errors import ProtocolError
from towonel.wire.ids import HubId, TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta
from towonel.wire.tokens import EdgeToken


def load_edge_credentials(
    token: EdgeToken | None, key: Path | None, state: Path, now: datetime
) -> EdgeCredentials:
    environ = {"TOWONEL_EDGE_STATE_DIR": str(state)}
    if token is not None:
        environ["TOWONEL_EDGE_INVITE_TOKEN"] = token.encode()
    if key is not None:
        environ["TOWONEL_IDENTITY_KEY_PATH"] = str(key)
    return load_credentials(load(EdgeSettings, environ), now)


NOW = datetime(2026, 11, 24, tzinfo=UTC)
TOKEN = EdgeToken("https://h", bytes(16), bytes(32), b"\x2a" * 32)
ROUTE = Route(ServiceKind.HTTPS, "a.eu", TenantId(b"t" * 32))
SNAPSHOT = Snapshot(HubId(b"h" * 32), RouteDelta(7, snapshot=True, routes=(ROUTE,)))


def test_an_edge_without_a_token_makes_its_key_once_and_keeps_its_certificate(
    tmp_path: Path,
) -> None:
    key = tmp_path / "node.key"
    first = load_edge_credentials(None, key, tmp_path / "edge", NOW)
    again = load_edge_credentials(None, key, tmp_path / "edge", NOW + timedelta(days=1))

    assert len(key.read_bytes()) == 32
    assert again.key.public == first.key.public == certificate_public_key(first.certificate_pem)
    assert again.certificate_pem == first.certificate_pem


def test_a_certificate_of_another_key_or_near_its_end_is_made_anew(tmp_path: Path) -> None:
    first = load_edge_credentials(None, tmp_path / "node.key", tmp_path, NOW)
    other = load_edge_credentials(TOKEN, None, tmp_path, NOW)
    late = load_edge_credentials(TOKEN, None, tmp_path, NOW + timedelta(days=LIFETIME_DAYS - 10))

    assert certificate_public_key(other.certificate_pem) == other.key.public != first.key.public
    assert late.certificate_pem != other.certificate_pem


def test_a_certificate_that_is_not_good_yet_is_made_anew(tmp_path: Path) -> None:
    first = load_edge_credentials(TOKEN, None, tmp_path, NOW)
    before = VALID_FROM - timedelta(days=1)

    assert (
        load_edge_credentials(TOKEN, None, tmp_path, before).certificate_pem
        != first.certificate_pem
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----"])
def test_a_broken_certificate_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CERTIFICATE_FILE).write_bytes(content)

    found = load_edge_credentials(TOKEN, None, tmp_path, NOW)

    assert (tmp_path / CERTIFICATE_FILE).read_text() == found.certificate_pem


def test_a_key_of_the_wrong_size_or_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "node.key").write_bytes(b"short")
    (tmp_path / "node.key").chmod(0o600)

    with pytest.raises(SecretFileError, match=r"TOWONEL_IDENTITY_KEY_PATH: .*exactly 32 bytes"):
        load_edge_credentials(None, tmp_path / "node.key", tmp_path, NOW)
    (tmp_path / "zeros").write_bytes(bytes(32))
    (tmp_path / "zeros").chmod(0o600)
    with pytest.raises(SecretFileError, match="holds only zeros"):
        load_edge_credentials(None, tmp_path / "zeros", tmp_path, NOW)
    with pytest.raises(SecretFileError, match=r"TOWONEL_EDGE_STATE_DIR: .*cannot be written"):
        load_edge_credentials(TOKEN, None, tmp_path / "node.key", NOW)


def test_paths_of_the_data_folder_are_mistakes_of_its_variable(tmp_path: Path) -> None:
    settings = load(EdgeSettings, {"TOWONEL_DATA_DIR": str(tmp_path)})
    (tmp_path / "edge").touch()
    with pytest.raises(SecretFileError, match=f"TOWONEL_DATA_DIR: {tmp_path}/edge/"):
        load_credentials(settings, NOW)
    (tmp_path / "node.key").write_bytes(b"short")
    with pytest.raises(SecretFileError, match=f"TOWONEL_DATA_DIR: {tmp_path}/node.key: ") as caught:
        load_credentials(settings, NOW)

    assert find_key_problems(settings) == [str(caught.value)]


def test_a_check_makes_no_key_and_reads_none_beside_a_token(tmp_path: Path) -> None:
    key = tmp_path / "node.key"
    environ = {"TOWONEL_IDENTITY_KEY_PATH": str(key)}
    assert find_key_problems(load(EdgeSettings, environ)) == []
    assert not key.exists()
    key.write_bytes(b"short")
    environ["TOWONEL_EDGE_INVITE_TOKEN"] = TOKEN.encode()

    assert find_key_problems(load(EdgeSettings, environ)) == []


def test_times_are_utc() -> None:
    assert to_datetime(1_795_478_400_000) == NOW


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "edge" / "routes")
    assert await file.load() is None
    await file.save(SNAPSHOT)

    assert await file.load() == SNAPSHOT
    assert (tmp_path / "edge" / "routes").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"towonel routes 1", encode(SNAPSHOT)[:-1]])
async def test_a_broken_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "routes").write_bytes(content)

    assert await SnapshotFile(tmp_path / "routes").load() is None


async def test_a_disk_that_takes_nothing_does_not_stop_the_edge(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await SnapshotFile(tmp_path / "file" / "routes").save(SNAPSHOT)

    assert (tmp_path / "file").read_text() == ""


def test_a_delta_is_no_snapshot() -> None:
    delta = Snapshot(SNAPSHOT.hub_id, RouteDelta(7, snapshot=False))

    with pytest.raises(ProtocolError, match="not all routes"):
        decode(encode(delta))


@given(st.integers(0, len(encode(SNAPSHOT)) - 1), st.integers(1, 255))
def test_a_file_with_any_byte_changed_is_refused(at: int, change: int) -> None:
    data = bytearray(encode(SNAPSHOT))
    data[at] ^= change

    with pytest.raises(ProtocolError):
        decode(bytes(data))
