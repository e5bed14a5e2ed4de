"""Who sends a request: a network, as far as what stands in front of the site tells it."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

_ONE_HOME = 64  # bits: the IPv6 network that one customer has at least, all of whose addresses are theirs


def network_of(request: HttpRequest) -> str:
    """Return the address that sent `request`; for IPv6 the network of one customer.

    What a client says itself stands before what the `settings.TRUSTED_PROXIES` proxies in front of the site add to the
    header, so it is counted from the end. Without proxies, or the header, it is the other end of the connection.
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    hops = request.headers.get(settings.CLIENT_ADDRESS_HEADER, "").split(",")
    if 0 < settings.TRUSTED_PROXIES <= len(hops):
        address = hops[-settings.TRUSTED_PROXIES].strip() or address
    try:
        ip = ip_address(address)
    except ValueError:  # a Unix socket, say
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ip_network((ip, _ONE_HOME), strict=False))
        ip = ip.ipv4_mapped
    return str(ip)
