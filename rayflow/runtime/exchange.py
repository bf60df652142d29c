"""The direct line between an engine and the processes that work for it: one socket for each of them.

A call of Ray costs a millisecond of processor time, a message here some ten microseconds. The line is as
safe as Ray's own: whoever knows the secret, which travels through Ray, may speak. Messages are pickles of
RayFlow's own types; values of the user are bytes inside.
"""

from __future__ import annotations

import asyncio
import hmac
import pickle
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

_HEAD = struct.Struct("!Q")
_SIGN = 1 << 63  # in a head: it is all that is sent, and the rest of it is a number
_SECRET_BYTES = 32
_CONNECT_SECONDS = 5.0
_RECEIVE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens, and the secret that it asks for."""

    host: str
    port: int
    secret: bytes = field(repr=False)


class Hearer(Protocol):
    """Who is told what comes over the lines of an engine, in its event loop."""

    def heard(self, peer: Peer, message: Any) -> None: ...

    def signed(self, peer: Peer, number: int) -> None: ...

    def hung_up(self, peer: Peer) -> None: ...


class Peer(asyncio.Protocol):
    """The engine's end of one line."""

    def __init__(self, secret: bytes, hearer: Hearer) -> None:
        self._secret, self._hearer = secret, hearer
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_known = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_known and not self._admit():
            return
        start, received = 0, self._received
        while len(received) - start >= _HEAD.size:
            (size,) = _HEAD.unpack_from(received, start)
            if size & _SIGN:
                start += _HEAD.size
                self._hearer.signed(self, size ^ _SIGN)
                continue
            end = start + _HEAD.size + size
            if len(received) < end:
                break
            with memoryview(received) as view:
                message = pickle.loads(view[start + _HEAD.size : end])
            start = end
            self._hearer.heard(self, message)
        del received[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._is_known:
            self._hearer.hung_up(self)

    def send(self, message: Any) -> None:
        """Send without waiting. A line that is gone takes everything; the hearer has been told."""
        if self._transport is not None:
            self._transport.write(_framed(message))

    def _admit(self) -> bool:
        """Whether the secret has come. Nothing else is looked at before."""
        if len(self._received) < _SECRET_BYTES:
            return False
        if not hmac.compare_digest(bytes(self._received[:_SECRET_BYTES]), self._secret):
            assert self._transport is not None
            self._transport.abort()
            self._received.clear()
            return False
        del self._received[:_SECRET_BYTES]
        self._is_known = True
        return True


async def listen(host: str, hearer: Hearer) -> tuple[Address, asyncio.Server]:
    """Open an engine's end; what comes in goes to ``hearer``.

    Raises:
        OSError: there is no such address here.
    """
    secret = secrets.token_bytes(_SECRET_BYTES)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(secret, hearer), host, 0)
    return Address(host, server.sockets[0].getsockname()[1], secret), server


class Line:
    """A working process's end. ``receive`` is called with what comes in, in a thread of the line's own."""

    def __init__(self, address: Address) -> None:
        self.receive: Callable[[Any], None] = _ignore
        self.is_open = True
        self._sending = threading.Lock()
        place = (address.host, address.port)
        self._socket = socket.create_connection(place, timeout=_CONNECT_SECONDS)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(self._socket)
        self._socket.sendall(address.secret)
        self._thread = threading.Thread(target=self._receive, name="rayflow-line", daemon=True)
        self._thread.start()

    def send(self, message: Any) -> None:
        """Send; what is sent arrives even if the process dies right after it.

        Raises:
            OSError: the line is gone.
        """
        data = _framed(message)
        with self._sending:
            self._socket.sendall(data)

    def sign(self, number: int) -> None:
        """Send a number below 2**63, which costs less than a message.

        Raises:
            OSError: the line is gone.
        """
        with self._sending:
            self._socket.sendall(_HEAD.pack(_SIGN | number))

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _receive(self) -> None:
        try:
            with self._socket, self._socket.makefile("rb", _RECEIVE_BYTES) as incoming:
                while head := incoming.read(_HEAD.size):
                    (size,) = _HEAD.unpack(head)
                    self.receive(pickle.loads(incoming.read(size)))
        except (OSError, EOFError, struct.error, pickle.UnpicklingError):
            pass  # it was cut off in the middle of a message
        self.is_open = False
        self.receive(None)


_lines: dict[Address, Line] = {}
_connecting = threading.Lock()


def line_to(address: Address) -> Line:
    """The line of this process to an engine.

    Raises:
        OSError: the engine cannot be reached.
    """
    with _connecting:
        line = _lines.get(address)
        if line is None or not line.is_open:
            line = _lines[address] = Line(address)
        return line


def _keep_alive(connection: socket.socket) -> None:
    """Notice within half a minute that the other machine is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _framed(message: Any) -> bytes:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(data)) + data


def _ignore(message: Any) -> None:
    """Nobody listens at the moment."""
