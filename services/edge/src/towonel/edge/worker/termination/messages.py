"""Messages of control and worker about certificates of terminated names; the module `worker.messages` says when."""

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


type CertificateMessage = CertificateLoaded | CertificateRemoved
