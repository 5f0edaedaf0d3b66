"""Which addresses the service may connect to on behalf of a user."""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

# The only addresses of IPv6 that belong to one host and are routed everywhere (RFC 4291, section
# 2.4). It excludes those that stand for IPv4 addresses, mapped (RFC 4291) or translated (RFC 6052).
_UNICAST = IPv6Network("2000::/3")
# What else is reserved; versions of Python differ in which of it they take for global. Protocol
# assignments (RFC 6890, which holds a cloud's metadata service; RFC 2928 with Teredo), 6to4 (RFC
# 3068, RFC 3056), documentation (RFC 3849, RFC 9637).
_SPECIAL_V4 = [IPv4Network(network) for network in ("192.0.0.0/24", "192.88.99.0/24")]
_SPECIAL_V6 = [
    IPv6Network(network) for network in ("2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20")
]


def look_up(host: str, port: int, flags: int = 0) -> list[str]:
    """Return the addresses of a host name, or the one that an address in any spelling means.

    Raises socket.gaierror, UnicodeError for what cannot be a name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(text: str) -> bool:
    """Return whether an address is that of a host on the Internet.

    It is not if it is private, shared (RFC 6598), loopback, link-local, multicast, reserved, or an
    IPv4 address within an IPv6 one.
    """
    address = ip_address(text.partition("%")[0])  # without the zone of a link-local address
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _UNICAST and not any(address in network for network in _SPECIAL_V6)
