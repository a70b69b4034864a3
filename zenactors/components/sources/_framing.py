"""Where a message ends in a stream: at a line end, or after as many bytes as it says. Pure data."""

from __future__ import annotations

from typing import Literal

Framing = Literal["line", "octet", "auto"]
LongLines = Literal["truncate", "skip"]

_MOST_DIGITS = 10  # of a length
_NEWLINE = b"\n"


class FramingError(Exception):
    """The stream is not framed as it should be; nothing of the rest can be told apart.

    Attributes:
        messages: Those before the error.
    """

    def __init__(self, messages: list[bytes]) -> None:
        super().__init__("no length of a message")
        self.messages = messages


class Framer:
    """Cut a stream into messages. Its memory is bounded by `max_bytes`, whatever comes.

    Args:
        framing: `"line"`: a message ends at a line end. `"octet"`: a message is preceded by its
            length in bytes and a space. `"auto"`: by whether it begins with a digit from 1 to 9.
        max_bytes: The longest message.
        long_lines: Whether of a longer one its beginning is a message, or nothing.

    Attributes:
        long: How many were longer.
    """

    def __init__(self, framing: Framing, max_bytes: int, long_lines: LongLines) -> None:
        self.long = 0
        self._framing = framing
        self._max = max_bytes
        self._skips = long_lines == "skip"
        self._begun = bytearray()  # of the message under way, at most `max_bytes` and a digit
        self._is_long = False  # the rest of the message under way is left out
        self._is_open = False  # whether one is under way
        self._missing: int | None = None  # bytes of it; None: up to the line end
        self._digits = b""

    @property
    def buffered(self) -> int:
        """How many bytes are kept."""
        return len(self._begun) + len(self._digits)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that end in `data`.

        Raises:
            FramingError: There is no length where one should be.
        """
        if self._framing == "line":
            return self._cut_lines(data)
        messages: list[bytes] = []
        at = 0
        while at < len(data):
            if not self._is_open:
                at = self._begin(data, at, messages)
            elif self._missing is None:
                at = self._take_to_line_end(data, at, messages)
            else:
                at = self._take_counted(data, at, messages)
        return messages

    def finish(self) -> bytes | None:
        """Return the message that the end of the stream has cut; None: there is none."""
        rest = self._message() + self._digits
        self._reset()
        return rest or None

    # --- lines ----------------------------------------------------------------------------------

    def _cut_lines(self, data: bytes) -> list[bytes]:
        first, newline, rest = data.partition(_NEWLINE)
        self._add(first)
        if not newline:
            return []
        messages: list[bytes] = []
        self._end(messages)
        *lines, last = rest.split(_NEWLINE)
        if lines:
            if max(map(len, lines)) > self._max:
                for line in lines:
                    self._add(line)
                    self._end(messages)
            elif b"\r" in rest:
                messages += [line.removesuffix(b"\r") for line in lines]
            else:
                messages += lines
        self._add(last)
        return messages

    def _take_to_line_end(self, data: bytes, at: int, messages: list[bytes]) -> int:
        end = data.find(_NEWLINE, at)
        if end < 0:
            self._add(data[at:])
            return len(data)
        self._add(data[at:end])
        self._end(messages)
        return end + 1

    # --- lengths --------------------------------------------------------------------------------

    def _begin(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """Read a length, or find that the message is a line."""
        byte = data[at : at + 1]
        if byte.isdigit() and (self._digits or byte != b"0"):
            self._digits += byte
            if len(self._digits) <= _MOST_DIGITS:
                return at + 1
            at += 1
        elif byte == b" " and self._digits:
            self._missing, self._digits = int(self._digits), b""
            self._is_open = True
            return at + 1
        elif self._framing == "octet" and byte == _NEWLINE and not self._digits:
            return (
                at + 1
            )  # some senders end a counted message with a line end that they do not count
        if self._framing == "octet":
            raise FramingError(messages)
        self._is_open = True
        digits, self._digits = self._digits, b""
        self._add(digits)
        return at

    def _take_counted(self, data: bytes, at: int, messages: list[bytes]) -> int:
        assert self._missing is not None
        piece = data[at : at + self._missing]
        self._missing -= len(piece)
        self._add(piece)
        if not self._missing:
            self._end(messages)
        return at + len(piece)

    # --- the message under way ------------------------------------------------------------------

    def _add(self, piece: bytes) -> None:
        if not piece or self._is_long:
            return
        room = self._max - len(self._begun)
        # A carriage return that belongs to the line end may be one byte more.
        if len(piece) <= room or (len(piece) == room + 1 and piece.endswith(b"\r")):
            self._begun += piece
            return
        self._is_long = True
        self.long += 1
        self._begun += piece[: max(room, 0)]
        del self._begun[0 if self._skips else self._max :]

    def _end(self, messages: list[bytes]) -> None:
        if not (self._is_long and self._skips):
            messages.append(self._message())
        self._reset()

    def _message(self) -> bytes:
        message = bytes(self._begun)
        return message if self._is_long else _without_end(message)

    def _reset(self) -> None:
        self._begun = bytearray()
        self._is_long = self._is_open = False
        self._missing = None
        self._digits = b""


def cut_datagram(
    data: bytes, framing: Framing, max_bytes: int, long_lines: LongLines
) -> tuple[list[bytes], int]:
    """Return the messages of a datagram, and how many were longer than allowed.

    With `"line"` it may have several lines; otherwise it is one message.
    """
    message = _without_end(data)
    if framing == "line" and _NEWLINE in message:
        framer = Framer(framing, max_bytes, long_lines)
        messages = framer.feed(data)
        if (rest := framer.finish()) is not None:
            messages.append(rest)
        return messages, framer.long
    if len(message) <= max_bytes:
        return ([message] if message else []), 0
    return ([] if long_lines == "skip" else [message[:max_bytes]]), 1


def _without_end(message: bytes) -> bytes:
    return message.removesuffix(b"\n").removesuffix(b"\r")
