"""Examples of bodies in the OpenAPI document; a test validates them with the models."""

from typing import Any

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
    "InviteIn": {
        "name": "home",
        "hostnames": ["app.example.eu", "*.home.example.eu"],
        "expires_in_secs": 604_800,
        "serves_for_secs": 2_592_000,
        "limits": {"connections": 500, "connection_rate": 50, "bandwidth": 100_000_000},
    },
    "InviteEdit": {
        "hostnames": ["app.example.eu"],
        "limits": {"services": 20, "bandwidth": 100_000_000},
    },
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
                "services": ["https:app.example.eu", "tcp:ssh", "udp:dns"],
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
        "listeners": [
            {"key": "tcp:2222"},
            {
                "key": "tcp:2223",
                "code": "port_in_use",
                "detail": "[Errno 98] Address already in use",
            },
            {"key": "udp:5353"},
        ],
        "certificates": [
            {
                "hostname": "app.example.eu",
                "state": "valid",
                "source": "acme",
                "tenant_id": TENANT,
                "issuer": "R11",
                "serial": "3f0c9a17d2e84b6650c1a8e7f2b94d3a771",
                "not_before_ms": 1_795_000_000_000,
                "not_after_ms": 1_802_776_000_000,
                "renews_at_ms": 1_800_100_000_000,
            }
        ],
        "certificates_total": 1,
    },
    "RevocationIn": {"reason": "key_compromise"},
    "DesiredState": {
        "group": "default",
        "services": [
            {"kind": "https", "name": "app.example.eu"},
            {
                "kind": "https",
                "name": "web.home.example.eu",
                "tls_mode": "terminate",
                "http2": True,
            },
            {"kind": "tcp", "name": "ssh", "port": 2222, "allow_cidrs": ["192.0.2.0/24"]},
            {"kind": "tcp", "name": "git", "port": "auto"},
            {"kind": "udp", "name": "dns", "port": 5353},
        ],
    },
    "RefreshIn": {"grant": "omdwYXlsb2Fk"},
    "LeaveIn": {"grant": "omdwYXlsb2Fk"},
    "ErrorOut": {
        "error": {
            "code": "hostname_conflict",
            "message": "another invite has already: app.example.eu (invite"
            " pJ4yYx1sT0mQ8aWv7c2d3g, 'home', expired)",
        }
    },
}
