"""Calls through the proxy that the environment names: aiohttp's, which knows how proxies want to be asked."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import aiohttp
from yarl import URL

from reroll.models.connections import Unreachable
from reroll.models.http_bytes import MOST_BODY, TOO_LONG, BrokenOff, Garbled, Incoming

__all__ = ["Proxied"]


class Proxied:
    """As `Connections`, with a proxy between. Of one event loop."""

    def __init__(self, proxy: str) -> None:
        self._proxy = proxy
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes, seconds: float) -> Incoming:
        """One call, its response read to the end; raises what `Connections.send` does."""
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers=headers,
                proxy=self._proxy,
                allow_redirects=False,  # a redirect would take prompts to an address that nobody named
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                got = Incoming()
                got.status, got.body = response.status, await _within(response)
                got.headers = {name.lower(): value for name, value in response.headers.items()}
                return got
        except aiohttp.ClientError as error:
            raise _as_ours(error) from error

    async def close(self) -> None:
        await self._session.close()


async def _within(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked. Raises: Garbled where it is longer than any is."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BODY:
            raise Garbled(TOO_LONG)
    return bytes(body)


def _as_ours(error: aiohttp.ClientError) -> OSError:
    """The same failure as `Connections` would say it."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(error.host, error.port or 0, socket.gaierror(socket.EAI_NONAME, str(error.os_error)))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = error.certificate_error
        return Unreachable(error.host, error.port or 0, reason if isinstance(reason, OSError) else OSError(str(reason)))
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unreachable(error.host, error.port or 0, error.os_error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        url = error.request_info.url
        return Unreachable(url.host or "", url.port or 0, OSError(f"the proxy says http {error.status}"))
    if isinstance(error, aiohttp.ClientPayloadError):
        return BrokenOff(str(error))
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return ConnectionResetError(str(error))
    return Garbled(str(error))
