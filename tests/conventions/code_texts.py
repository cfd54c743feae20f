"""Explanations of the error codes, for operators: `make docs` writes docs/codes.md from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from towonel.wire.errors import Code


@dataclass(frozen=True, slots=True)
class CodeText:
    """Explanation of one code."""

    source: str  # the programs that end or refuse something with it
    meaning: str
    action: str  # "nothing" where none is needed


CODE_TEXTS: Mapping[Code, CodeText] = {
    Code.NORMAL: CodeText("all", "A connection or session ended as it should.", "nothing"),
    Code.INTERNAL: CodeText(
        "all",
        "A bug ended it; or a newer program sent a code that this version does not know.",
        "Look for `crashed` in the log of the program that sent it, and report it.",
    ),
    Code.CANCELLED: CodeText(
        "edge, agent",
        "A stream was given up because its client or its origin went first, or the program ends.",
        "nothing",
    ),
    Code.DRAINING: CodeText(
        "edge", "The edge was told to stop, and closed the sessions that were left.", "nothing"
    ),
    Code.MALFORMED: CodeText(
        "all",
        "A message, a file or an answer does not have the form that it must have.",
        "Compare the versions of both programs; a file may be damaged, an answer another server's.",
    ),
    Code.TOO_LARGE: CodeText(
        "all",
        "A message, body, file or answer is larger than its limit.",
        "Send less at once. The message names the limit.",
    ),
    Code.UNSUPPORTED_VERSION: CodeText(
        "all",
        "The two ends have no version of the protocol, or of an entry, in common.",
        "Upgrade the older one: the hub first, then edges, then agents.",
    ),
    Code.UNEXPECTED_MESSAGE: CodeText(
        "edge, agent",
        "A message or stream came that the protocol does not allow in that state.",
        "Report it, unless the other end is a program of somebody else.",
    ),
    Code.FLOW_CONTROL: CodeText(
        "edge, agent",
        "A peer sent more than it was allowed to, or allowed more than the protocol lets it.",
        "Report it, unless the other end is a program of somebody else.",
    ),
    Code.HELLO_TIMEOUT: CodeText(
        "edge",
        "Whoever connected did not finish the handshake of an agent within 5 s.",
        "nothing, unless it is your agent: then look at the network between both.",
    ),
    Code.BAD_PREAMBLE: CodeText(
        "agent", "The header of a stream is wrong.", "Upgrade the edge, or report it."
    ),
    Code.BAD_TOKEN: CodeText(
        "agent, edge, command line",
        "A token is not one: it was cut or changed, or is of the other kind.",
        "Copy the whole token again: `tt_inv_2_…` for an agent, `tt_edge_2_…` for an edge.",
    ),
    Code.BAD_NAME: CodeText(
        "all",
        "A hostname, service or group has a name that breaks a rule.",
        "Correct the name. The message has the rule.",
    ),
    Code.PREAMBLE_TIMEOUT: CodeText(
        "agent",
        "The header of a stream did not come within 5 s.",
        "nothing, unless it lasts: then look at the network between edge and agent.",
    ),
    Code.NOT_TLS: CodeText(
        "edge",
        "A client sent something that is not TLS, such as plain HTTP.",
        "nothing, unless it is your client: then use `https://`.",
    ),
    Code.NO_SNI: CodeText(
        "edge",
        "A client's TLS names no server, so the edge cannot tell which service it wants.",
        "Have the client send SNI: connect to the hostname, not to the IP address.",
    ),
    Code.BAD_SNI: CodeText(
        "edge",
        "The server name of a client is not a hostname.",
        "nothing, unless it is your client: then correct the name that it connects to.",
    ),
    Code.HELLO_TOO_LARGE: CodeText(
        "edge",
        "A client's first TLS message (ClientHello) exceeds 16 KiB.",
        "nothing, unless it is your client: then look at its TLS settings.",
    ),
    Code.BAD_HELLO: CodeText(
        "edge",
        "A client's first TLS message (ClientHello) is malformed.",
        "nothing, unless it is your client: then look at what is between it and the edge.",
    ),
    Code.CLIENT_TIMEOUT: CodeText(
        "edge, hub, agent",
        "A client was too slow with its first message or body, acknowledged nothing any more, or was"
        " idle for longer than it may be.",
        "nothing, unless it is your client: then see `TOWONEL_EDGE_HANDSHAKE_TIMEOUT_SECS`,"
        " `TOWONEL_EDGE_IDLE_TIMEOUT_SECS`, and of an agent's TCP service `idle_timeout_secs`.",
    ),
    Code.CLIENT_CLOSED: CodeText(
        "edge",
        "The client closed or reset its connection, as port scanners and health checks do at once.",
        "nothing",
    ),
    Code.BAD_PROXY_HEADER: CodeText(
        "edge",
        "A trusted load balancer did not begin its connection with a PROXY v2 header.",
        "Have it send one, or take it off `TOWONEL_EDGE_PROXY_PROTOCOL_TRUSTED`.",
    ),
    Code.TLS_FAILED: CodeText(
        "edge",
        "A client and the edge, which ends the TLS of this name, did not agree: the client does not trust the certificate,"
        " or speaks neither TLS 1.2 nor 1.3. The detail has the reason of OpenSSL.",
        "If it is yours: let it trust the authority that issued the certificate.",
    ),
    Code.UNAUTHORIZED: CodeText(
        "hub, command line",
        "A key, an invite's secret or a passphrase is missing or wrong, or has expired or was"
        " revoked.",
        "Give the right one. For an agent: make a new invite with `towonel invite create`.",
    ),
    Code.INVALID_SIGNATURE: CodeText(
        "hub, edge",
        "A request, a session or an entry is not signed by the key that it names.",
        "Compare the key or token with the one that the hub knows; nothing, if it is not yours.",
    ),
    Code.CLOCK_SKEW: CodeText(
        "hub",
        "A request was signed more than 5 min before or after the hub's time.",
        "Set the clock of the machine that sent it, or the hub's; NTP keeps them right.",
    ),
    Code.REPLAYED: CodeText(
        "hub",
        "The same signed request came before.",
        "nothing, unless it lasts: then two machines share one key, or something repeats requests.",
    ),
    Code.GRANT_INVALID: CodeText(
        "hub, edge",
        "An agent's grant is not from this hub, or the agent it names was revoked, has left, or"
        " belongs to another tenant now.",
        "nothing: the agent asks for another. If it lasts, compare the hub of agent and edge, and"
        " their clocks.",
    ),
    Code.GRANT_EXPIRED: CodeText(
        "hub, edge",
        "The 24 hours of an agent's grant are over, and it got no newer one.",
        "nothing: the agent asks for another. If it lasts, see why it does not reach the hub.",
    ),
    Code.GRANT_FOREIGN: CodeText(
        "hub, edge",
        "An agent sent the grant of another agent, tenant or group.",
        "Report it, unless the agent is a program of somebody else.",
    ),
    Code.TENANT_REVOKED: CodeText(
        "hub, edge",
        "The tenant's invite was revoked. An edge may say it of a suspended tenant, too.",
        "If it was meant, nothing; else resume the tenant (`towonel tenant resume`), or make a new"
        " invite.",
    ),
    Code.INVITE_EXPIRED: CodeText(
        "hub",
        "The time in which agents can join with this invite is over.",
        "`towonel invite edit --expires 7d`, or make a new invite.",
    ),
    Code.EDGE_UNKNOWN: CodeText(
        "hub, agent",
        "The hub has no invite for this edge, or it was revoked. From an agent: another edge answers"
        " at this address.",
        "Give the edge a new token (`towonel edge-invite create`). From an agent: correct the edge's"
        " `TOWONEL_EDGE_ADVERTISED_ADDRESSES`.",
    ),
    Code.CERTIFICATE_MISMATCH: CodeText(
        "agent, hub",
        "An edge has another certificate than the hub names, as after it lost its folder.",
        "nothing for a few seconds. If it lasts, something else answers at the edge's address.",
    ),
    Code.SUPERSEDED: CodeText(
        "edge",
        "The agent opened a newer session, which replaces this one.",
        "nothing",
    ),
    Code.TENANT_NOT_ALLOWED: CodeText(
        "hub, agent",
        "The hub does not know this tenant, or does not let it use this agent: the agent was revoked,"
        " or `TOWONEL_TENANTS` gives it to another tenant.",
        "Start a revoked agent again: it gets a new id. Else compare token and hub.",
    ),
    Code.HOSTNAME_NOT_OWNED: CodeText(
        "hub",
        "The tenant's invite does not cover this hostname.",
        "`towonel invite edit` to add it, or take it off `TOWONEL_AGENT_SERVICES`.",
    ),
    Code.HOSTNAME_CONFLICT: CodeText(
        "hub",
        "Another invite has this hostname, or it is the hub's own, which edges answer. The message names it.",
        "Take the hostname off one of them, or revoke the other invite.",
    ),
    Code.PORT_CONFLICT: CodeText(
        "hub",
        "Another tenant publishes or has reserved this port, it must be reserved first, an edge is reached at it, or"
        " another group of the tenant publishes the service on another port. The message says which.",
        "Use another port, or reserve it with `towonel port reserve`; `auto` takes one that is.",
    ),
    Code.INVALID_REQUEST: CodeText(
        "hub, command line",
        "A value breaks a rule. The message names the field and the rule.",
        "Correct the field.",
    ),
    Code.NOT_FOUND: CodeText(
        "hub, edge",
        "What the request names does not exist, or not for this key; at port 80 of an edge, no token of a challenge.",
        "Compare the id with the list, and whether it was revoked. For an agent: make a new invite.",
    ),
    Code.SEQUENCE_CONFLICT: CodeText(
        "hub",
        "An entry has a number that is not above the last one of its tenant.",
        "Send it again with the next number; `towonel entry submit` does so by itself.",
    ),
    Code.UNSUPPORTED_OP: CodeText(
        "hub, command line",
        "The hub does not know this operation or kind of entry.",
        "Upgrade the hub.",
    ),
    Code.RATE_LIMITED: CodeText(
        "hub, edge, agent",
        "Too many requests, sessions, handshakes, messages, changes or, above a tenant's own limit, new"
        " client connections in a short time.",
        "Come back later (`Retry-After`); if it is your own traffic, raise the limit that the message"
        " names; that of a tenant's clients is `towonel invite edit --max-connection-rate`.",
    ),
    Code.LIMIT_EXCEEDED: CodeText(
        "edge",
        "One source address or tenant has as many connections, or one tenant as many sessions, as it"
        " may.",
        "Raise `TOWONEL_EDGE_MAX_CONNECTIONS_PER_SOURCE`, `…_MAX_CONNECTIONS_PER_TENANT`,"
        " `…_MAX_SOURCE_SHARE` or `…_MAX_SESSIONS_PER_TENANT`, if it is wanted traffic.",
    ),
    Code.FORBIDDEN: CodeText(
        "hub",
        "The key is right, and its role or tenant does not allow this.",
        "Use another key, as of the role that the message names.",
    ),
    Code.PRECONDITION_FAILED: CodeText(
        "hub",
        "Somebody changed it since it was read (`If-Match`).",
        "Read it again, and repeat the edit; `--force` edits it whatever it is now.",
    ),
    Code.IDEMPOTENCY_CONFLICT: CodeText(
        "hub",
        "This `Idempotency-Key` was sent before with another request.",
        "Use a new key for each different request.",
    ),
    Code.QUOTA_EXCEEDED: CodeText(
        "hub, edge",
        "The tenant would have more than its quota. The message names the quota.",
        "Publish less, or raise it: `towonel invite edit --max-…`, `TOWONEL_HUB_QUOTA_…`; at an edge"
        " `TOWONEL_EDGE_MAX_SERVICES_PER_TENANT`.",
    ),
    Code.TENANT_SUSPENDED: CodeText(
        "hub",
        "The operator suspended this tenant, or the time for which its invite serves is over.",
        "`towonel tenant resume`; after the time `towonel invite edit --serve-for 30d`.",
    ),
    Code.METHOD_NOT_ALLOWED: CodeText(
        "hub, edge",
        "This path of the API, or of an edge's port 80, does not take this HTTP method.",
        "Use one of those in the answer's `Allow`, and GET for a challenge.",
    ),
    Code.TOO_MANY_CONNECTIONS: CodeText(
        "edge",
        "The tenant has as many client connections at this edge as its own limit lets it have.",
        "Raise it, if that is wanted traffic: `towonel invite edit --max-connections`.",
    ),
    Code.CLIENT_NOT_ALLOWED: CodeText(
        "edge",
        "The client's address is in none of the service's `allow_cidrs`, or in one of its `deny_cidrs`.",
        "Nothing, if it is to be kept out; else correct the service's lists. Behind a load balancer see that the edge"
        " takes its PROXY header: `TOWONEL_EDGE_PROXY_PROTOCOL`.",
    ),
    Code.NO_ROUTE: CodeText(
        "edge",
        "No tenant publishes the name that a client asked for, or no longer.",
        "If it is yours: `towonel service list` shows what is published. Compare it with the agent's"
        " `TOWONEL_AGENT_SERVICES`, and see whether edge and agent are `degraded`.",
    ),
    Code.NO_AGENT: CodeText(
        "edge",
        "The name is published, and no agent that serves it has a session with this edge.",
        "Look at the agent: is it running, and is it linked to this edge (`link.failed`)?",
    ),
    Code.NO_SERVICE: CodeText(
        "agent, edge",
        "The agent does not have the service that a client asked for.",
        "Compare the `TOWONEL_AGENT_SERVICES`, `…_TCP_SERVICES` and `…_UDP_SERVICES` of the agents of the group.",
    ),
    Code.ORIGIN_REFUSED: CodeText(
        "agent",
        "Nothing listens at the address of the origin.",
        "Start the origin, or correct `origin` of the service.",
    ),
    Code.ORIGIN_TIMEOUT: CodeText(
        "agent, edge",
        "The origin, or the name server of its name, did not answer in time. From an edge: no agent"
        " answered in time.",
        "Look at the origin, at a firewall in front of it, and at DNS on the agent's machine.",
    ),
    Code.ORIGIN_UNREACHABLE: CodeText(
        "agent",
        "The agent's machine has no way to the origin's address, or its name does not exist.",
        "Correct `origin` of the service, or the network or DNS of the agent's machine.",
    ),
    Code.ORIGIN_RESET: CodeText(
        "agent",
        "The origin broke its connection off.",
        "Look at the origin's log; does it read the PROXY v2 header that it gets?",
    ),
    Code.SESSION_LOST: CodeText(
        "edge, agent",
        "Nothing came from the other end any more, or it could not be reached at all.",
        "nothing if it is back within seconds; else see whether UDP passes between agent and edge.",
    ),
    Code.SESSION_SILENT: CodeText(
        "edge",
        "An agent answered nothing for 0.4 s (3 s where there is no other one), so the edge tries"
        " another.",
        "nothing, unless it lasts: then look at the agent's load and its network.",
    ),
    Code.GOING_AWAY: CodeText(
        "edge, agent",
        "The edge or agent drains: it was told to stop, and takes nothing new.",
        "nothing",
    ),
    Code.OVERLOADED: CodeText(
        "all",
        "A process has as many connections, streams, handshakes or requests as it can have.",
        "nothing, if it passes. Else raise the limit (`TOWONEL_EDGE_MAX_INFLIGHT_CONNECTIONS`,"
        " `TOWONEL_AGENT_MAX_STREAMS`, open files), or add an edge or agent.",
    ),
    Code.HUB_UNAVAILABLE: CodeText(
        "hub, edge, command line",
        "The hub cannot be reached, or its database does not answer. From an edge to an agent: the"
        " edge has not heard from its hub since it started. Of a client of the hub's own name: the"
        " edge that answers it does not reach the hub.",
        "Start the hub, or look at its database and at the network.",
    ),
    Code.WRONG_EDGE: CodeText(
        "edge",
        "A lane came to an edge, or to a process of one, that does not have its session: that has ended, is not"
        " known there yet, or is another edge's at the same address.",
        "nothing, if it passes. Else give each edge an address of its own.",
    ),
    Code.PORT_IN_USE: CodeText(
        "edge",
        "Another program of the edge's machine has the port of a TCP or UDP service.",
        "End that program, or publish the service on another port. The edge tries again every 3 s.",
    ),
    Code.PORT_UNAVAILABLE: CodeText(
        "edge",
        "The edge's system does not give it the port of a TCP or UDP service: it takes a privilege, or there are too many.",
        "Follow the detail: allow the port (CAP_NET_BIND_SERVICE), raise the limit of open files, or add an edge.",
    ),
    Code.NO_CERTIFICATE: CodeText(
        "edge",
        "TLS of the name is to end at the edge, which has no certificate for it now.",
        "Look for the name in the edge's log: `certificate.order_failed` has the authority's reason, `certificate.order_refused`"
        " says why none was ordered, `certificate.unusable` and `certificate.expired` are of files. Without `TOWONEL_EDGE_TLS_ACME_EMAIL` none is ordered: put `<name>.crt` and `<name>.key`"
        " into `TOWONEL_EDGE_TLS_CERT_DIR`.",
    ),
    Code.ORIGIN_TLS_FAILED: CodeText(
        "agent",
        "The agent could not speak TLS with the origin, or does not accept its certificate (`origin_server_name`).",
        "Follow the detail in the agent's log (`stream.refused`): it names what is wrong, and the field or file to correct.",
    ),
}
