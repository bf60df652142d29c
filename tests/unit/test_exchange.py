"""The direct line: messages arrive whole and in order, and only from those who know the secret."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest

from rayflow.runtime.exchange import Address, Hearer, Line, Peer, line_to, listen
from tests.waiting import until


class Ledger:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard_of: list[Any] = []
        self.peers: list[Peer] = []
        self.gone = 0

    def heard(self, peer: Peer, message: Any) -> None:
        self.peers.append(peer)
        self.heard_of.append(message)

    def signed(self, peer: Peer, number: int) -> None:
        self.heard_of.append(("signed", number))

    def hung_up(self, peer: Peer) -> None:
        self.gone += 1


class Engine:
    """An event loop in a thread, with an address to connect to."""

    def __init__(self, hearer: Hearer | None = None) -> None:
        self.ledger = Ledger()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.address, self.server = self.wait(listen("127.0.0.1", hearer or self.ledger))

    def do(self, act: Callable[[], None]) -> None:
        self.loop.call_soon_threadsafe(act)

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        async def shut() -> None:
            self.server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            # Before Python 3.12 `wait_closed` waits for no connection.
            while self.server._active_count:  # type: ignore[attr-defined]
                await asyncio.sleep(0.001)

        self.wait(shut())
        self.do(self.loop.stop)
        until(lambda: not self.loop.is_running())
        self.loop.close()


@pytest.fixture
def exchange() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def line(exchange: Engine) -> Iterator[Line]:
    line = Line(exchange.address)
    yield line
    line.close()


def test_messages_and_signs_arrive_in_order(exchange: Engine, line: Line) -> None:
    for number in range(500):
        line.send(("message", number, b"x" * (number * 997 % 40_000)))
        line.sign(number)
    until(lambda: len(exchange.ledger.heard_of) == 1000)
    kinds = exchange.ledger.heard_of
    assert [m[1] for m in kinds[::2]] == list(range(500)) == [m[1] for m in kinds[1::2]]


def test_a_message_of_many_megabytes_arrives_whole_both_ways(exchange: Engine, line: Line) -> None:
    back = list[Any]()
    line.receive = back.append
    data = os.urandom(20 * 2**20)
    line.send(data)
    until(lambda: bool(exchange.ledger.heard_of))
    assert exchange.ledger.heard_of == [data]
    exchange.do(lambda: exchange.ledger.peers[0].send(data))
    until(lambda: bool(back))
    assert back == [data]


def test_who_does_not_know_the_secret_is_not_listened_to(exchange: Engine) -> None:
    line = Line(replace(exchange.address, secret=b"?" * 32))
    until(lambda: not line.is_open)
    assert not exchange.ledger.heard_of
    assert exchange.ledger.gone == 0  # it was never there
    assert "?" not in repr(replace(exchange.address, secret=b"?" * 32))


def test_half_a_secret_is_waited_for(exchange: Engine, line: Line) -> None:
    with socket.create_connection((exchange.address.host, exchange.address.port)) as half:
        half.sendall(exchange.address.secret[:7])
        line.send("hello")  # others are served meanwhile
        until(lambda: exchange.ledger.heard_of == ["hello"])


def test_a_process_has_one_line_to_an_engine_and_a_new_one_when_that_is_gone(
    exchange: Engine,
) -> None:
    line = line_to(exchange.address)
    assert line_to(exchange.address) is line
    line.close()
    until(lambda: exchange.ledger.gone == 1)
    another = line_to(exchange.address)
    assert another is not line
    another.close()


def test_an_engine_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        Line(Address("127.0.0.1", 1, b"?" * 32))


def test_what_was_sent_arrives_though_the_process_is_killed_right_after_it(
    exchange: Engine,
) -> None:
    program = (
        "import os, signal, sys; from rayflow.runtime.exchange import *\n"
        "line = Line(Address(sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])))\n"
        "for n in range(300): line.send(n)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    address = exchange.address
    words = [address.host, str(address.port), address.secret.hex()]
    ended = subprocess.run([sys.executable, "-c", program, *words], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    until(lambda: exchange.ledger.gone == 1)
    assert exchange.ledger.heard_of == list(range(300))
