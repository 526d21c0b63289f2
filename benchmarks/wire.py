"""HTTP/1.1 on the wire: a call as bytes, and answers out of whatever pieces they come in."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.forms import Call

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_STATUS = slice(9, 12)


class FramingError(Exception):
    """An answer without Content-Length, or none of HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `head` is in lower case and ends before the empty line."""

    status: int
    head: bytes
    body: bytes

    def has(self, header: bytes) -> bool:
        """Return whether it carries the header, whose name is given in lower case."""
        return b"\r\n" + header + b":" in self.head


class Reader:
    """Puts the answers of one connection together, one after the other: no pipelining."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Answer | None:
        """Take what has arrived; return the answer if it is whole.

        Raises:
            FramingError: the answer does not say how long it is.
        """
        held = self._held + data if self._held else data
        end = held.find(_HEAD_END)
        if end >= 0:
            head = held[:end].lower()
            body = held[end + len(_HEAD_END) :]
            if len(body) >= _length(head):
                self._held = b""
                return Answer(int(head[_STATUS]), head, body)
        self._held = held
        return None


def wire(call: Call, port: int) -> bytes:
    """Return the call's request for a keep-alive connection to `port` of this machine."""
    headers = {"Host": f"127.0.0.1:{port}", **call.headers, "Content-Length": str(len(call.body))}
    lines = [f"POST {call.path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join(lines).encode() + _HEAD_END + call.body


def _length(head: bytes) -> int:
    start = head.find(_LENGTH)
    if start < 0:
        raise FramingError(f"expected an answer with Content-Length, got {head[:300]!r}")
    return int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0])
