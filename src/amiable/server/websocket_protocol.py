"""uvicorn's WebSocket protocol, which takes a refusal for what it is.

A request that is refused before it becomes a WebSocket gets an HTTP answer (ASGI's *WebSocket denial response*).  uvicorn 0.54 sends
it whole, and then logs "ASGI callable returned without completing handshake" as an error: it forgets that the answer was the handshake's end.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Inherited because uvicorn takes its protocol as a class."""

    async def send(self, message: Any) -> None:
        """Sends; the last part of a denial ends the handshake."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
