"""A tenant's log of signed entries, as the original's command line writes and reads it."""

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


class EntryCalls(HubTransport):
    """Entries; errors as in `HubClient`."""

    async def submit_entry(self, entry: SignedEntry) -> int:
        """Append an entry, whose own signature is the authorization; return its sequence.

        Raises:
            Denied: SEQUENCE_CONFLICT where the log has that sequence already, and the rules of
                hostnames and ports.
        """
        call = HubRequest(
            HTTPMethod.POST, "/v1/entries", encode_entry(entry), content_type=CBOR, accept=CBOR
        )
        return Fields.of(cbor.decode(await self._send(call))).uint("sequence")

    async def list_entries(self, tenant: TenantKey | TenantId) -> list[SignedEntry]:
        """Return a tenant's log by ascending sequence, each entry's signature unchecked.

        Args:
            tenant: its key, which signs the request, or its id, for which the operator's key asks.
        """
        if isinstance(tenant, TenantKey):
            tenant_id = tenant.tenant_id
            authorization = authorize_tenant_request(tenant, self._stamp_ms())
        else:
            tenant_id, authorization = tenant, self._bearer()
        call = HubRequest(
            HTTPMethod.GET,
            f"{paths.by_id('/v1/tenants', tenant_id.hex())}/entries",
            authorization=authorization,
            accept=CBOR,
            max_bytes=MAX_LOG_BYTES,
            timeout_s=LOG_TIMEOUT_S,
        )
        return decode_log(await self._send(call))
