"""Messages of control and worker about certificates of terminated names; the module `worker.messages` lists them all."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CertificateLoaded:
    """Certificate for an exact name, which replaces the one before; its chain and its private key as PEM."""

    name: str
    pem: bytes = field(repr=False)


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


type CertificateMessage = (
    CertificateLoaded | CertificateRemoved | CertificateRefused | ChallengeChanged
)
type TerminationMessage = CertificateMessage | CertificateWanted  # of both directions
