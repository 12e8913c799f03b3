"""One WebSocket connection: text frames in and out through callbacks, by picows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

MAX_FRAME_BYTES = 64 * 1024 * 1024


class SocketLine(WSListener):
    """A client connection; picows masks, parses and answers pings.

    Args:
        on_frame: called with each text frame's bytes.
        on_lost: called when the connection has ended, unless it was closed here.
    """

    def __init__(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._transport: WSTransport | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        on_frame: Callable[[bytes], None],
        on_lost: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> SocketLine:
        """Connect to ``http(s)://`` or ``ws(s)://``.

        Raises:
            OSError: nobody listens.
            ConnectionError: the handshake was refused.
        """
        address = url.replace("http", "ws", 1) if url.startswith("http") else url
        line = cls(on_frame, on_lost)
        try:
            await ws_connect(lambda: line, address, extra_headers=headers, max_frame_size=MAX_FRAME_BYTES)
        except WSError as error:
            raise ConnectionError(f"the handshake was refused: {error}") from error
        return line

    def send(self, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, payload)

    def close(self) -> None:
        self._on_lost = lambda: None
        if self._transport is not None:
            self._transport.send_close()
            self._transport.disconnect()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._on_frame(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._on_lost()
