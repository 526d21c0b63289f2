"""The flow engine's way out: its HttpPort, by the guarded client."""

from __future__ import annotations

from gateway.flows.ports import HttpCall, HttpReply
from gateway.outbound.http import GuardedHttpClient, OutboundRequest


class OutboundHttp:
    """An HttpPort."""

    def __init__(self, http: GuardedHttpClient) -> None:
        """Send by `http`, which whoever has made it closes."""
        self._http = http

    async def send(self, call: HttpCall, deadline: float) -> HttpReply:
        """See HttpPort."""
        asked = OutboundRequest(
            method=call.method,
            url=call.url,
            headers=call.headers,
            body=call.body,
            max_bytes=call.max_bytes,
        )
        reply = await self._http.send(asked, deadline)
        return HttpReply(status=reply.status, headers=reply.headers, body=reply.body)
