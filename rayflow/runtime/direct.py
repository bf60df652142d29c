"""Calls of an engine over a line (:mod:`rayflow.runtime.exchange`): a tenth of what a call of Ray costs.

All calls that go this way may be repeated, so whoever finds no line, or loses it while it waits, asks
through Ray instead.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from rayflow.runtime.exchange import Address, Hearer, Line, Peer, listen
from rayflow.runtime.processes import node_address

logger = logging.getLogger("rayflow.engine")


MOST_BYTES = 2**20  # the engine reads a call between other things, and all of it at once

Waiting = dict[int, "Future[bytes | None]"]


class UnreachedError(Exception):
    """The engine has not been reached over a line, or cannot read what it was sent."""


class Desk:
    """The engine's side. What is no call goes to ``others``."""

    def __init__(self, engine: Any, others: Hearer) -> None:
        self._engine, self._others = engine, others
        self._running: set[asyncio.Task[None]] = set()

    def heard(self, peer: Peer, message: Any) -> None:
        what, number, more = message
        if what != "ask":
            self._others.heard(peer, message)
            return
        answering = asyncio.ensure_future(self._answer(peer, number, more))
        self._running.add(answering)
        answering.add_done_callback(self._running.discard)

    def signed(self, peer: Peer, number: int) -> None:
        self._others.signed(peer, number)

    def hung_up(self, peer: Peer) -> None:
        self._others.hung_up(peer)

    async def _answer(self, peer: Peer, number: int, asked: bytes) -> None:
        try:
            method, args = pickle.loads(asked)
        except Exception:  # made of what only Ray can carry, such as classes of a program
            peer.send(("answer", number, None))
            return
        try:
            answer = True, await getattr(self._engine, method)(*args)
        except Exception as error:
            answer = False, error
        with suppress(Exception):  # Ray may be able to carry it
            peer.send(("answer", number, pickle.dumps(answer)))
            return
        peer.send(("answer", number, None))


@dataclass(frozen=True, slots=True)
class OpenLine:
    """Where an engine listens, for as long as this is kept."""

    address: Address
    server: asyncio.Server


async def opened(engine: Any, others: Hearer) -> OpenLine | None:
    """Let workers and programs connect. Where Ray encrypts what it sends they are not to: a line does not."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return None
    try:
        return OpenLine(*await listen(node_address(), Desk(engine, others)))
    except OSError as error:
        logger.warning("calls and attempts go through Ray, which is slower: %s", error)
        return None


class Direct:
    """A program's side. Safe to use from several threads, and in processes that are forked.

    ``address``: asks the engine where it listens, by a call of Ray; None if it does not.
    """

    def __init__(self, address: Callable[[], Address | None]) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._waiting: Waiting = {}  # for answers over this line
        self._process = os.getpid()
        self._numbers = itertools.count(1)
        self._is_off = False

    def call(self, method: str, *args: Any) -> Any:
        """Call the engine and wait.

        Raises:
            UnreachedError: call it through Ray; it may have been called already.
        """
        try:
            asked = pickle.dumps((method, args))
        except Exception as error:
            raise UnreachedError from error
        answer = self._ask(asked) if len(asked) <= MOST_BYTES else None
        if answer is None:
            raise UnreachedError
        is_well, result = pickle.loads(answer)
        if is_well:
            return result
        raise result

    def close(self) -> None:
        """Hang up; nothing is called this way any more."""
        with self._lock:
            line, self._line, self._is_off = self._line, None, True
        if line is not None and self._process == os.getpid():
            line.close()

    def _ask(self, asked: bytes) -> bytes | None:
        (line, others), number = self._connected(), next(self._numbers)
        waiting = others[number] = Future[bytes | None]()
        try:
            line.send(("ask", number, asked))
            if not line.is_open:  # before this one was waiting, so nobody tells it
                raise UnreachedError
            return waiting.result()
        except OSError as error:
            raise UnreachedError from error
        finally:
            others.pop(number, None)

    def _connected(self) -> tuple[Line, Waiting]:
        with self._lock:
            if self._process != os.getpid():  # the line is that of the process that was forked
                self._line, self._process = None, os.getpid()
            if self._line is None or not self._line.is_open:
                self._line, self._waiting = self._connect()
            return self._line, self._waiting

    def _connect(self) -> tuple[Line, Waiting]:
        """A new line; where there cannot be one, nobody tries again."""
        address = None if self._is_off else self._address()
        try:
            if address is not None:
                line, waiting = Line(address), Waiting()
                line.receive = partial(_receive, waiting)
                return line, waiting
        except OSError:
            pass
        self._is_off = True
        raise UnreachedError


def _receive(waiting: Waiting, message: Any) -> None:
    """What comes over a line, in its thread; nothing means that it is gone."""
    if message is None:
        for each in list(waiting.values()):
            if not each.done():  # and not taken away yet
                each.set_result(None)
        return
    _, number, answer = message
    if (asked := waiting.get(number)) is not None:
        asked.set_result(answer)
