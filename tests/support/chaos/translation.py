"""Translation of network prefixes: what a router does to packets of those at home, whose addresses nobody else sees.

    10.99.1.2 at home  ->  10.99.2.2 outside, or 10.99.3.2 once the router has another address

Source: RFC 1624 §3 for checksums, RFC 791 §3.1, RFC 9293 §3.1, RFC 768.
"""

SOURCE_AT, DESTINATION_AT = 12, 16
PREFIX_BYTES = 3
_CHECKSUM_AT = 10
_CHECKSUMS_AT = {6: 16, 17: 6}  # in the headers of TCP and UDP, by their IP protocols
_OFFSET_MASK = 0x1FFF  # of a fragment: only the first one has such a header
_UDP = 17


def has_prefix(packet: bytes, at: int, prefix: bytes) -> bool:
    """Return whether the address at this place of an IPv4 packet has a prefix."""
    return packet[at : at + PREFIX_BYTES] == prefix


def translate(packet: bytes, at: int, prefix: bytes) -> bytes:
    """Return an IPv4 packet whose address at this place has another prefix, and its checksums with it."""
    found = bytearray(packet)
    old = bytes(found[at : at + 4])
    found[at : at + PREFIX_BYTES] = prefix
    new = bytes(found[at : at + 4])
    _correct(found, _CHECKSUM_AT, old, new)
    is_first = not int.from_bytes(found[6:8]) & _OFFSET_MASK
    inside = _CHECKSUMS_AT.get(found[9])
    if is_first and inside is not None:
        where = (found[0] & 15) * 4 + inside
        if found[9] != _UDP or any(found[where : where + 2]):  # 0 says that there is none
            _correct(found, where, old, new)
            if found[9] == _UDP and not any(found[where : where + 2]):
                found[where : where + 2] = b"\xff\xff"
    return bytes(found)


def _correct(packet: bytearray, at: int, old: bytes, new: bytes) -> None:
    """Correct a checksum for an address that was changed."""
    total = ~int.from_bytes(packet[at : at + 2]) & 0xFFFF
    for word in (0, 2):
        total += ~int.from_bytes(old[word : word + 2]) & 0xFFFF
        total += int.from_bytes(new[word : word + 2])
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    packet[at : at + 2] = (~total & 0xFFFF).to_bytes(2)
