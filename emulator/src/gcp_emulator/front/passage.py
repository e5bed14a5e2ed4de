"""The way to the real network for what is not Google Cloud's: a tunnel whose bytes nobody here reads.

A shell whose ``HTTPS_PROXY`` is the emulator goes on reaching its package index and its repositories. Never Google: what is Google's and not
emulated is refused, in whatever spelling, and so is every public address without a name, which might be Google's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from gcp_emulator.front.ca import DOMAINS
from gcp_emulator.front.ways import Connection

_CONNECT_SECONDS = 10
_CHUNK = 64 * 1024
#: Google's domains, further than those that the emulator answers for: nothing of them is ever passed on.
_FURTHER = (
    "googleapis.cn",
    "googleusercontent.com",
    "cloudfunctions.net",
    "cloud.goog",
    "sql.goog",
    "goog",
    "metadata",
)
_GOOGLES = re.compile(rf"([\w.-]+\.)?({'|'.join(map(re.escape, (*DOMAINS, *_FURTHER)))})")
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class NoPassageError(Exception):
    """Why a host is not reached, in words."""


class Passage:
    """Opens tunnels to hosts that are not Google's.

    Args:
        environment: names the proxy that this machine needs itself, as curl reads it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._proxy = next((environment[name] for name in _PROXY_VARIABLES if environment.get(name)), "")
        direct = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
        self._direct = [name.strip().lstrip(".").lower() for name in direct.split(",") if name.strip()]

    async def open(self, host: str, port: int, *, local: bool = True) -> Connection:
        """A connection to a host; to one of this machine itself only if ``local``. NoPassageError when it may not be reached, or cannot be."""
        name = canonical(host)
        if _GOOGLES.fullmatch(name):
            raise NoPassageError("what is Google's is never passed on")
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(name).is_global or ipaddress.ip_address(name).is_link_local:
                raise NoPassageError(
                    "a public address without a name is never passed on, for it might be Google's"
                )
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                if self._proxy and not self._is_direct(name):
                    return await self._through_proxy(name, port)
                return await asyncio.open_connection(name if local else await _elsewhere(name, port), port)
        except TimeoutError:
            raise NoPassageError(f"it does not answer within {_CONNECT_SECONDS} s") from None
        except (OSError, ValueError) as error:
            raise NoPassageError(str(error)) from None

    def _is_direct(self, name: str) -> bool:
        return name == "localhost" or any(
            one == "*" or name == one or name.endswith(f".{one}") for one in self._direct
        )

    async def _through_proxy(self, name: str, port: int) -> Connection:
        url = urlsplit(self._proxy if "://" in self._proxy else f"http://{self._proxy}")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise NoPassageError(f"{url.scheme or 'this kind of'} proxies are not spoken here")
        default = 443 if url.scheme == "https" else 80
        reader, writer = await asyncio.open_connection(
            url.hostname, url.port or default, ssl=True if url.scheme == "https" else None
        )
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        login = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
        authorization = (
            f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
            if url.username
            else ""
        )
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n".encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = b""
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if not re.match(r"HTTP/1\.[01] 2\d\d", status):
            writer.close()
            raise NoPassageError(f"the proxy of this machine answered {status or 'nothing'}")
        return reader, writer


async def _elsewhere(name: str, port: int) -> str:
    """The address of a host that is not this machine itself. NoPassageError; OSError where it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    address = ipaddress.ip_address(found[0][4][0])
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        raise NoPassageError("it is this machine itself, which nothing that runs in the emulator reaches")
    return str(address)


def canonical(host: str) -> str:
    """A host's name in the one spelling in which it is compared: small letters, without the root's dot, IPv4 in four parts."""
    name = host.lower().rstrip(".")
    with contextlib.suppress(ValueError):
        mapped = ipaddress.ip_address(name)
        if isinstance(mapped, ipaddress.IPv6Address) and mapped.ipv4_mapped:
            return str(mapped.ipv4_mapped)
        return name
    if re.fullmatch(r"(0x[0-9a-f]+|\d+)(\.(0x[0-9a-f]+|\d+)){0,3}", name):
        with contextlib.suppress(OSError):
            # As the resolver would take it: 0x8efa0001 and 142.65537 are addresses, too.
            return socket.inet_ntoa(socket.inet_aton(name))
    return name


async def relay(
    client: Connection,
    server: Connection,
) -> None:
    """Passes bytes on in both directions until both ends have closed, or one breaks off. Closes the server's end."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(pump(client[0], server[1]))
            both.create_task(pump(server[0], client[1]))
    except* OSError:
        pass
    finally:
        server[1].close()
