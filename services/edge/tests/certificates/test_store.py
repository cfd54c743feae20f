"""Certificates of a folder: what is there and good is in the workers, and what changes follows."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from support.tunnel import until

from towonel.edge.certificates.acme.challenge import encode_key
from towonel.edge.certificates.certificate import MAX_PEM_BYTES, CertificateError, parse_certificate
from towonel.edge.certificates.files import FolderChanges, read_changes
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import CertificateLoaded, CertificateRemoved
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")
OTHER = Hostname("other.example.eu")


def pem(issued: trustme.LeafCert) -> tuple[bytes, bytes]:
    return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()


def put(folder: Path, name: str, issued: trustme.LeafCert, mode: int = 0o600) -> None:
    chain, key = pem(issued)
    path = folder / f"{name}.key"
    path.unlink(missing_ok=True)
    path.touch(mode)
    path.write_bytes(key)
    path.chmod(mode)
    (folder / f"{name}.crt").write_bytes(chain)


class Store(CertificateStore):
    """Store that keeps what it tells."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        super().__init__(self.sent.append)

    def take(self) -> list[tuple[type, str]]:
        told, self.sent[:] = list(self.sent), []
        kinds = (CertificateLoaded, CertificateRemoved)
        return [(type(each), each.name) for each in told if isinstance(each, kinds)]


async def test_what_is_in_the_folder_is_loaded_and_what_changes_there_follows(
    tmp_path: Path, authority: trustme.CA
) -> None:
    store = Store()
    put(tmp_path, NAME, authority.issue_cert(NAME))
    (tmp_path / "lonely.example.eu.crt").write_bytes(b"of which there is no key yet")
    (tmp_path / "Upper.example.eu.crt").write_bytes(b"no name that is asked for")
    async with store.follow(tmp_path, look_s=0.01):
        assert store.take() == [(CertificateLoaded, NAME)]
        [loaded] = store.describe()
        assert isinstance(loaded, CertificateLoaded)
        assert loaded.is_exclusive
        put(tmp_path, NAME, authority.issue_cert("*.example.eu"))
        put(tmp_path, OTHER, authority.issue_cert(OTHER))
        await until(lambda: set(store.certificates) == {NAME, OTHER})
        await until(lambda: loaded not in list(store.describe()))
        (tmp_path / f"{NAME}.crt").unlink()
        await until(lambda: (CertificateRemoved, NAME) in store.take())

    assert set(store.certificates) == {OTHER}


async def test_a_folder_that_is_not_there_is_empty_and_one_that_is_a_file_is_named_once(
    tmp_path: Path,
) -> None:
    store = Store()
    with structlog.testing.capture_logs() as logs:
        await store.load(tmp_path / "missing")
        (tmp_path / "file").touch()
        for _ in range(2):
            await store.load(tmp_path / "file")

    assert store.take() == []
    assert [line["event"] for line in logs] == ["certificates.unread"]


async def test_a_certificate_that_cannot_be_used_leaves_the_one_before(
    tmp_path: Path, authority: trustme.CA
) -> None:
    store = Store()
    put(tmp_path, NAME, authority.issue_cert(NAME))
    await store.load(tmp_path)
    before = list(store.describe())
    put(tmp_path, NAME, authority.issue_cert(OTHER))
    with structlog.testing.capture_logs() as logs:
        await store.load(tmp_path)

    assert list(store.describe()) == before
    [line] = logs
    assert (line["event"], line["name"]) == ("certificate.unusable", NAME)
    assert line["reason"] == store.unusable[NAME] == f"is for {OTHER}, not for {NAME}"
    put(tmp_path, NAME, authority.issue_cert(NAME))
    await store.load(tmp_path)
    assert store.unusable == {}


def test_one_that_has_ended_is_forgotten(tmp_path: Path, authority: trustme.CA) -> None:
    store = Store()
    now = datetime.now(UTC)
    put(tmp_path, NAME, authority.issue_cert(NAME, not_after=now + timedelta(hours=1)))
    store.apply(read_changes(tmp_path, {}), now)
    loaded = store.take()
    store.apply(read_changes(tmp_path, {}), now + timedelta(hours=2))

    assert loaded == [(CertificateLoaded, NAME)]
    assert (CertificateRemoved, NAME) in store.take()
    assert (store.certificates, list(store.expired)) == ({}, [NAME])
    put(tmp_path, NAME, authority.issue_cert(NAME, not_after=now + timedelta(days=9)))
    store.apply(read_changes(tmp_path, {}), now + timedelta(hours=2))
    assert (list(store.certificates), store.expired) == ([NAME], {})


def test_one_that_has_ended_by_a_wrong_clock_is_had_again(
    tmp_path: Path, authority: trustme.CA
) -> None:
    store = Store()
    now = datetime.now(UTC)
    put(tmp_path, NAME, authority.issue_cert(NAME))
    changes = read_changes(tmp_path, {})
    store.apply(changes, now + timedelta(days=365 * 1000))
    ended = dict(store.certificates)
    unchanged = FolderChanges(changes.stamps, {})
    store.apply(unchanged, now)

    assert ended == {}
    assert set(store.certificates) == {NAME}
    store.apply(unchanged, now + timedelta(days=365 * 1000))
    store.apply(FolderChanges({}, {}), now + timedelta(days=365 * 1000))
    store.apply(FolderChanges({}, {}), now)
    assert store.certificates == {}  # its files have gone meanwhile


def test_a_key_that_everybody_may_read_is_not_used(tmp_path: Path, authority: trustme.CA) -> None:
    put(tmp_path, NAME, authority.issue_cert(NAME), mode=0o644)

    found = read_changes(tmp_path, {}).changed[NAME]
    assert isinstance(found, CertificateError)
    assert "chmod 600" in str(found)


def test_what_is_no_certificate_of_the_name_and_key_says_why(authority: trustme.CA) -> None:
    (chain, key), (_, other_key) = (pem(authority.issue_cert(NAME)) for _ in range(2))

    for pair, reason in (
        ((chain, other_key), "another certificate's"),
        ((b"no PEM", key), "is no PEM"),
        ((chain, b"no PEM"), "is no PEM"),
        ((chain + b" " * MAX_PEM_BYTES, key), "too large"),
    ):
        with pytest.raises(CertificateError, match=reason):
            parse_certificate(NAME, *pair)
    assert key not in repr(parse_certificate(NAME, chain, key)).encode()


@pytest.mark.parametrize(
    ("names", "is_exclusive"),
    [((NAME,), True), ((NAME, OTHER), False), (("*.example.eu",), False), ((NAME, "::1"), False)],
)
def test_a_certificate_is_for_its_name_alone_or_for_others_too(
    authority: trustme.CA, names: tuple[str, ...], *, is_exclusive: bool
) -> None:
    found = parse_certificate(NAME, *pem(authority.issue_cert(*names)))

    assert found.is_exclusive is is_exclusive


async def test_files_that_are_not_read_again_are_left_alone(
    tmp_path: Path, authority: trustme.CA
) -> None:
    put(tmp_path, NAME, authority.issue_cert(NAME))
    known = (await asyncio.to_thread(read_changes, tmp_path, {})).stamps

    assert read_changes(tmp_path, known).changed == {}


def test_one_of_a_kind_that_the_library_does_not_know_is_no_end_of_the_edge() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now, nobody = datetime.now(UTC), x509.Name([])
    builder = x509.CertificateBuilder(nobody, nobody, key.public_key(), 1, now, now)
    der = builder.sign(key, SHA256()).public_bytes(Encoding.DER)
    curve = bytes.fromhex("2a8648ce3d0301")  # and the number of one
    strange = x509.load_der_x509_certificate(der.replace(curve + b"\x07", curve + b"\x55"))

    with pytest.raises(CertificateError, match="Curve"):
        parse_certificate(NAME, strange.public_bytes(Encoding.PEM), encode_key(key))
