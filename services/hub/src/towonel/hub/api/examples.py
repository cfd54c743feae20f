"""Examples of bodies, for the OpenAPI document; a test holds them against the models."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "InviteIn": {"name": "home", "hostnames": ["app.example.eu", "*.home.example.eu"]},
    "InviteEdit": {"hostnames": ["app.example.eu"], "limits": {"services": 20}},
    "HostnamesIn": {"hostnames": ["blog.example.eu"]},
    "TenantEdit": {"limits": {"agents": 4, "ports": 10}},
    "EdgeInviteIn": {"name": "frankfurt"},
    "ReservationIn": {
        "tenant_id": "b7acce2ddb11f8cc1aa46e2bafac6eacfa2b732ef192bd636ad8d3a56d649c66",
        "protocol": "udp",
        "first_port": 27015,
        "last_port": 27030,
    },
    "KeyIn": {"name": "terraform", "role": "operator", "expires_in_secs": 7_776_000},
    "KeyEdit": {"expires_at": "2027-01-01T00:00:00Z"},
    "KeyRotation": {"grace_secs": 3600},
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
