"""Connections whose bytes are sent and read as they are."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any, BinaryIO

KEY = b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
OFFER = b"connection: upgrade\r\nupgrade: websocket\r\n"
FORECAST = json.dumps({"values": [1, 2, 3, 4], "horizon": 2}).encode()


@dataclass(frozen=True)
class Answer:
    """One answer to a request."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def connect(port: int, timeout_s: float = 20) -> socket.socket:
    """A connection to a server on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def read_answer(stream: BinaryIO) -> Answer:
    """The next one. ``EOFError`` when there is none."""
    line = stream.readline()
    if not line:
        raise EOFError
    headers: dict[bytes, bytes] = {}
    for field in iter(stream.readline, b"\r\n"):
        name, _, value = field.rstrip(b"\r\n").partition(b": ")
        headers[name.lower()] = value
    return Answer(int(line.split()[1]), headers, stream.read(int(headers.get(b"content-length", b"0"))))


def post(body: bytes, *headers: bytes, path: bytes = b"/forecast", announced: bool = True) -> bytes:
    """A POST as it is on the wire."""
    lines = [b"POST %b HTTP/1.1" % path, b"host: x", b"content-type: application/json", *headers]
    if announced:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A short WebSocket frame of a client, whose mask is zeros."""
    assert len(data) < 126
    return bytes([0x80 * fin | opcode, 0x80 | len(data)]) + bytes(4) + data


def open_websocket(port: int, path: bytes = b"/sessions") -> socket.socket:
    """A connection whose handshake has been answered."""
    raw = connect(port)
    raw.sendall(b"GET %b HTTP/1.1\r\nhost: x\r\n" % path + OFFER + KEY + b"\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return raw


def close_code(raw: socket.socket) -> int:
    """Of the close frame that comes; frames before it are passed over."""
    with raw.makefile("rb") as stream:
        while True:
            first, length = stream.read(2)
            if length == 126:
                length = int.from_bytes(stream.read(2))
            data = stream.read(length)
            if first & 0x0F == 8:
                return int.from_bytes(data[:2])
