"""Ids of tenants, agents, edges and hubs: 32 bytes each, 64 hexadecimal digits as text."""

import re
from typing import NewType

TenantId = NewType("TenantId", bytes)  # SHA-256 of the tenant's ML-DSA-65 public key
AgentId = NewType("AgentId", bytes)  # the agent's Ed25519 public key
EdgeId = NewType("EdgeId", bytes)  # the edge's Ed25519 public key
HubId = NewType("HubId", bytes)  # the hub's Ed25519 public key

ID_BYTES = 32
ID_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
