"""Messages of control and worker about certificates of terminated names; the module `worker.messages` lists them all."""

from dataclasses import dataclass, field

from towonel.relay.hop.choice import SocketName


@dataclass(frozen=True, slots=True)
class CertificateLoaded:
    """Certificate for an exact name, which replaces the one before; its chain and its private key as PEM.

    It `is_exclusive` if it is for no other name.
    """

    name: str
    pem: bytes = field(repr=False)
    is_exclusive: bool = False


@dataclass(frozen=True, slots=True)
class CertificateRemoved:
    """Name that there is no certificate for any more."""

    name: str


@dataclass(frozen=True, slots=True)
class CertificateRefused:
    """Name whose clients wait for a certificate, and that gets none now, for this reason.

    With a `source` it is those of that source that get none: another's may have it ordered.
    """

    name: str
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class ChallengeChanged:
    """Certificate with its key, as PEM, that answers a challenge TLS-ALPN-01 of a name; empty once that is over."""

    name: str
    pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """Word of a worker that clients wait for the certificate of a name; the first of them is of this source."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class HubRouteChanged:
    """The hub's own name, whose clients go to the hub, and not to an agent.

    Args:
        name: that clients ask for.
        addresses: of the hub's API, which are tried in this order; none where its name does not resolve.
        proof: that who sends the header with a client's address has the hub's key; empty without it.
    """

    name: str
    addresses: tuple[SocketName, ...]
    proof: bytes = field(default=b"", repr=False)


type CertificateMessage = (
    CertificateLoaded | CertificateRemoved | CertificateRefused | ChallengeChanged
)
type TerminationMessage = (
    CertificateMessage | CertificateWanted | HubRouteChanged
)  # of both directions
