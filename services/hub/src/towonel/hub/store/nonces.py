"""Replay protection: nonces of accepted signed requests, kept for as long as their time is valid."""

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.tables import NonceRow
from towonel.identity.signatures import Domain, Signature
from towonel.wire.errors import Code, Denied


async def use(session: AsyncSession, domain: Domain, signature: Signature) -> None:
    """Accept a signed request once. Call it last, when all else about the request is right.

    Raises:
        Denied: REPLAYED if any replica accepted it before.
    """
    session.add(
        NonceRow(domain=str(domain), signer=signature.id, timestamp_ms=signature.timestamp_ms)
    )
    try:
        await session.flush()
    except IntegrityError as error:
        raise Denied(Code.REPLAYED, "this signed request was sent before") from error
