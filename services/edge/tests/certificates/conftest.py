"""Fixtures of certificates: an issuer, with an authority that is a function."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from support.issuing import Place

from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.metrics import Metrics


@pytest.fixture
def place(tmp_path: Path, authority: trustme.CA, metrics: Metrics) -> Place:
    return Place(tmp_path / "certs", authority, metrics)


@pytest.fixture
async def issuer(place: Place) -> AsyncIterator[Issuer]:
    issuer = place.make()
    async with issuer.run(look_s=0.01):
        yield issuer
