"""Client of the original's logs of signed entries, one log for each tenant."""

from http import HTTPMethod

from towonel.client import paths
from towonel.client.request import CBOR, HubRequest
from towonel.client.transport import HubTransport
from towonel.identity.keys import TenantKey
from towonel.identity.signatures import authorize_tenant_request
from towonel.wire import cbor
from towonel.wire.cbor import Fields
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import MAX_LOG_BYTES, SignedEntry, decode_log, encode_entry

LOG_TIMEOUT_S = 60.0  # a log of ten thousand entries has 34 MB


class Entries:
    """Client of the signed entries of the original."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def submit(self, entry: SignedEntry) -> int:
        """Append an entry, whose own signature is the authorization; return its sequence.

        Raises:
            Denied: SEQUENCE_CONFLICT where the log has that sequence already, and the rules of
                hostnames and ports.
        """
        request = HubRequest(
            HTTPMethod.POST, "/v1/entries", encode_entry(entry), content_type=CBOR, accept=CBOR
        )
        return Fields.of(cbor.decode(await self._hub.fetch_bytes(request))).uint("sequence")

    async def list(self, tenant: TenantKey | TenantId) -> list[SignedEntry]:
        """Return a tenant's log by ascending sequence, each entry's signature unchecked.

        Args:
            tenant: its key, which signs the request, or its id, for which the operator's key asks.
        """
        if isinstance(tenant, TenantKey):
            tenant_id = tenant.tenant_id
            authorization = authorize_tenant_request(tenant, self._hub.timestamp_ms())
        else:
            tenant_id, authorization = tenant, self._hub.bearer()
        request = HubRequest(
            HTTPMethod.GET,
            f"{paths.by_id('/v1/tenants', tenant_id)}/entries",
            authorization=authorization,
            accept=CBOR,
            max_bytes=MAX_LOG_BYTES,
            timeout_s=LOG_TIMEOUT_S,
        )
        return decode_log(await self._hub.fetch_bytes(request))
