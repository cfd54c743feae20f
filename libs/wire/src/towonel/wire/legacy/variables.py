"""Environment variables of the original that no program here reads, and what replaces each.

A name that ends in `_` stands for all that begin with it. Source: inventory §2.
"""

from collections.abc import Mapping

_NO_RELAYS = "there are no relays: agents dial the edges that the hub names; remove it"
_NO_HTTP = "challenges are answered on the edge's TLS port; remove it"
_NO_ACCOUNTS = "the hub has API keys instead of accounts: `towonel key create`; remove it"
_NO_LINK = "an edge follows its hub over the API: set TOWONEL_EDGE_HUB_URL, or an edge's token"
_NO_DISCOVERY = "the hub tells agents which edges there are; remove it"

REPLACED_VARIABLES: Mapping[str, str] = {
    "TOWONEL_AGENT_EXTRA_LOCAL_ADDRS": "agents dial edges and listen for none; remove it",
    "TOWONEL_AGENT_IROH_PORT": "agents dial edges and listen for none; remove it",
    "TOWONEL_AGENT_K8S_": _NO_DISCOVERY,
    "TOWONEL_AGENT_RELAY_URL": _NO_RELAYS,
    "TOWONEL_DISABLE_UDP_GSO": "no program here joins datagrams that way; remove it",
    "TOWONEL_EDGE_HUB_LINK_": _NO_LINK,
    "TOWONEL_EDGE_IROH_PORT": "use TOWONEL_EDGE_SESSION_LISTEN_ADDR, as in 0.0.0.0:443",
    "TOWONEL_EDGE_MAX_UDP_SESSIONS_PER_LISTENER": "an edge bounds the flows of UDP clients by itself; remove it",
    "TOWONEL_EDGE_PUBLIC_IPS": "use TOWONEL_EDGE_ADVERTISED_ADDRESSES, as in 203.0.113.7:443",
    "TOWONEL_EDGE_TCP_SERVICES": "edges listen on the ports of TOWONEL_AGENT_TCP_SERVICES; remove it",
    "TOWONEL_EDGE_TLS_HTTP_LISTEN_ADDR": _NO_HTTP,
    "TOWONEL_EDGE_UDP_SERVICES": "edges listen on the ports of TOWONEL_AGENT_UDP_SERVICES; remove it",
    "TOWONEL_HUB_KEK": "the hub's keys are files of the data folder; remove it",
    "TOWONEL_HUB_KEK_PATH": "the hub's keys are files of the data folder; remove it",
    "TOWONEL_HUB_LEADER_ELECTION": "hubs on one Postgres are equals, without a leader; remove it",
    "TOWONEL_HUB_LINK_": "edges follow the hub over TOWONEL_HUB_LISTEN_ADDR; remove it",
    "TOWONEL_HUB_MAX_UDP_PORT_RANGE": "a range has 512 ports at most; remove it, or bound the ports of a tenant by"
    " TOWONEL_HUB_QUOTA_PORTS",
    "TOWONEL_HUB_OIDC_": _NO_ACCOUNTS,
    "TOWONEL_HUB_OPERATOR_API_KEY": "put the key into a file of mode 0600, and the file's path into"
    " TOWONEL_HUB_OPERATOR_API_KEY_PATH",
    "TOWONEL_HUB_TLS_": "put a reverse proxy with TLS in front of TOWONEL_HUB_LISTEN_ADDR, and its"
    " address into TOWONEL_HUB_PUBLIC_URL",
    "TOWONEL_HUB_USER_PORT_QUOTA": "use TOWONEL_HUB_QUOTA_PORTS",
    "TOWONEL_HUB_WEB_ENABLED": _NO_ACCOUNTS,
    "TOWONEL_IDENTITY_KEY": "put the key's 32 bytes into a file of mode 0600, and the file's path into"
    " TOWONEL_IDENTITY_KEY_PATH",
    "TOWONEL_IROH_RELAY_URLS": _NO_RELAYS,
    "TOWONEL_MAIL_": _NO_ACCOUNTS,
}
