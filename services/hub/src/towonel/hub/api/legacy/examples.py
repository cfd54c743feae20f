"""Examples of CBOR bodies in the OpenAPI document."""

from towonel.hub.api.openapi.examples import NODE, TENANT
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.entries import ENTRY_VERSION, EntryPayload, encode_payload
from towonel.wire.legacy.heartbeat import Heartbeat, encode_heartbeat
from towonel.wire.legacy.ops import UpsertHostname

_SIGNED_MS = 1_795_000_000_000
_PAYLOAD = EntryPayload(
    ENTRY_VERSION,
    TenantId(bytes.fromhex(TENANT)),
    1,
    _SIGNED_MS,
    UpsertHostname("app.example.eu"),
)
_HEARTBEAT = Heartbeat(TenantId(bytes.fromhex(TENANT)), AgentId(bytes.fromhex(NODE)))
# A document in JSON cannot hold bytes, and a generator would send a text in their place as the body: so
# CBOR bodies are described in words, in the notation of RFC 8949 §8, and as hexadecimal bytes.
CBOR_BODIES = {
    "submit_entry": f"""\
CBOR map of `payload`, `signature` and `tenant_id`, where the signature is ML-DSA-65 (3309 bytes) by the \
tenant's key over the bytes of the payload, which is CBOR itself. Such as

    {{"payload": h'…', "signature": h'…', "tenant_id": h'{TENANT}'}}

with the payload

    {{"version": 1, "tenant_id": h'{TENANT}', "sequence": 1,
     "timestamp": {_SIGNED_MS}, "op": {{"upsert_hostname": {{"hostname": "app.example.eu"}}}}}}

which is, in bytes,

    {encode_payload(_PAYLOAD).hex()}
""",
    "heartbeat": f"""\
CBOR map of `tenant_id` and `agent_id`, 32 bytes each. Such as

    {{"tenant_id": h'{TENANT}',
     "agent_id": h'{NODE}'}}

which is, in bytes,

    {encode_heartbeat(_HEARTBEAT).hex()}
""",
}
