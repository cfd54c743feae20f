"""Examples of bodies, for the OpenAPI document; a test holds them against the models."""

from typing import Any

from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.entries import ENTRY_VERSION, EntryPayload, encode_payload
from towonel.wire.legacy.heartbeat import Heartbeat, encode_heartbeat
from towonel.wire.legacy.ops import UpsertHostname

TENANT = "b7acce2ddb11f8cc1aa46e2bafac6eacfa2b732ef192bd636ad8d3a56d649c66"
NODE = "197f6b23e16c8532c6abc838facd5ea789be0c76b2920334039bfa8b3d368d61"
_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBRDCB96ADAgECAhAQ82LEINFlr/Ho/qdbbjaZMAUGAytlcDAgMR4wHAYDVQQD
DBVlZGdlLnRvd29uZWwuaW50ZXJuYWwwHhcNMjYwMTAxMDAwMDAwWhcNMzUxMjMw
MDAwMDAwWjAgMR4wHAYDVQQDDBVlZGdlLnRvd29uZWwuaW50ZXJuYWwwKjAFBgMr
ZXADIQAZf2sj4WyFMsaryDj6zV6nib4MdrKSAzQDm/qLPTaNYaNHMEUwIAYDVR0R
BBkwF4IVZWRnZS50b3dvbmVsLmludGVybmFsMAwGA1UdEwEB/wQCMAAwEwYDVR0l
BAwwCgYIKwYBBQUHAwEwBQYDK2VwA0EAvcxDaoagnS4egZuPFtd6zWr/OL2oLYWN
BBd1YtoPaboQyuyGhe7bwsPSLGm2yIy5xacRcvug3rYzR1vl2UFBBA==
-----END CERTIFICATE-----
"""
EXAMPLES: dict[str, Any] = {
    "InviteIn": {"name": "home", "hostnames": ["app.example.eu", "*.home.example.eu"]},
    "InviteEdit": {"hostnames": ["app.example.eu"], "limits": {"services": 20}},
    "HostnamesIn": {"hostnames": ["blog.example.eu"]},
    "TenantEdit": {"limits": {"agents": 4, "ports": 10}},
    "EdgeInviteIn": {"name": "frankfurt"},
    "ReservationIn": {
        "tenant_id": TENANT,
        "protocol": "udp",
        "first_port": 27015,
        "last_port": 27030,
    },
    "KeyIn": {"name": "terraform", "role": "operator", "expires_in_secs": 7_776_000},
    "KeyEdit": {"expires_at": "2030-01-01T00:00:00Z"},
    "KeyRotation": {"grace_secs": 3600},
    "BootstrapIn": {
        "invite_id": "pJ4yYx1sT0mQ8aWv7c2d3g",
        "invite_secret": "KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio",
        "agent_id": NODE,
        "group": "default",
    },
    "EdgeRegisterIn": {
        "addresses": ["edge.example.eu:443", "[2001:db8::1]:443"],
        "certificate_pem": _CERTIFICATE,
        "version": "0.1.0",
    },
    "EdgeReport": {
        "version": "0.1.0",
        "started_at_ms": 1_795_000_000_000,
        "connections_active": 1,
        "connections_total": 12,
        "refused_total": 2,
        "bytes_in": 4_096,
        "bytes_out": 65_536,
        "sessions_active": 1,
        "sessions": [
            {
                "session_id": "5f" * 16,
                "agent_id": NODE,
                "tenant_id": TENANT,
                "group": "default",
                "peer": "198.51.100.7:50312",
                "since_ms": 1_795_000_001_000,
                "services": ["https:app.example.eu", "tcp:ssh"],
                "active_streams": 1,
                "software": "towonel 0.1.0",
            }
        ],
        "tenants": [
            {
                "tenant_id": TENANT,
                "connections_active": 1,
                "connections_total": 10,
                "bytes_in": 4_096,
                "bytes_out": 65_536,
            }
        ],
    },
    "DesiredState": {
        "group": "default",
        "services": [
            {"kind": "https", "name": "app.example.eu"},
            {"kind": "tcp", "name": "ssh", "port": 2222},
        ],
    },
    "RefreshIn": {"grant": "omdwYXlsb2Fk"},
    "ErrorOut": {
        "error": {
            "code": "hostname_conflict",
            "message": "another invite has already: app.example.eu",
        }
    },
}
_SIGNED_MS = 1_795_000_000_000
_PAYLOAD = EntryPayload(
    ENTRY_VERSION,
    TenantId(bytes.fromhex(TENANT)),
    1,
    _SIGNED_MS,
    UpsertHostname("app.example.eu"),
)
_HEARTBEAT = Heartbeat(TenantId(bytes.fromhex(TENANT)), AgentId(bytes.fromhex(NODE)))
# A document in JSON can hold no bytes, and a generator would take a text in their place for a body:
# so bodies in CBOR are shown in words, in the notation of RFC 8949 §8 and as the bytes in hexadecimal.
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
