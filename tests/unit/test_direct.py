"""Calls of an engine over a line, and when Ray has to carry them instead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from rayflow.errors import WorkflowNotFoundError
from rayflow.runtime.direct import Desk, Direct, UnreachedError
from rayflow.runtime.exchange import Peer
from tests.unit.test_exchange import Engine
from tests.waiting import until


class Methods:
    """What an engine can be asked for."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go_on = asyncio.Event()

    async def echo(self, *values: Any) -> Any:
        return values

    async def fail(self, workflow_id: str) -> None:
        raise WorkflowNotFoundError(workflow_id)

    async def unpicklable(self) -> Any:
        return lambda: None

    async def wait(self, value: Any) -> Any:
        self.waiting += 1
        await self.go_on.wait()
        return value


class Server(Engine):
    """An engine's end that answers calls."""

    def __init__(self) -> None:
        self.methods = Methods()
        self.desk = Desk(self.methods, self)
        self.peers: list[Peer] = []
        super().__init__(self)

    def heard(self, peer: Peer, message: Any) -> None:
        self.peers.append(peer)
        if message[0] == "ask":
            self.desk.heard(peer, message)
        else:
            self.ledger.heard(peer, message)

    def signed(self, peer: Peer, number: int) -> None:
        self.ledger.signed(peer, number)

    def hung_up(self, peer: Peer) -> None:
        self.ledger.hung_up(peer)

    def hang_up(self) -> None:
        """As when the process of the engine is killed."""

        def abort() -> None:
            self.server.close()
            for peer in self.peers:
                if peer._transport is not None:
                    peer._transport.abort()

        self.do(abort)

    def close(self) -> None:
        self.hang_up()
        super().close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def direct(server: Server) -> Iterator[Direct]:
    made = Direct(lambda: server.address)
    yield made
    made.close()


def test_a_call_returns_what_the_method_returns_or_raises(direct: Direct) -> None:
    assert direct.call("echo", 1, "two") == (1, "two")
    with pytest.raises(WorkflowNotFoundError, match="nobody"):
        direct.call("fail", "nobody")


def test_calls_of_many_threads_get_their_own_answers(direct: Direct) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: direct.call("echo", n), range(500)))
    assert answers == [(n,) for n in range(500)]


def test_a_call_that_waits_holds_up_no_other(server: Server, direct: Direct) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(direct.call, "wait", "late")
        until(lambda: server.methods.waiting == 1)
        assert direct.call("echo", 1) == (1,)
        server.do(server.methods.go_on.set)
        assert waiting.result(30) == "late"


def test_a_call_whose_line_is_cut_goes_through_ray(server: Server, direct: Direct) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(direct.call, "wait", "never")
        until(lambda: server.methods.waiting == 1)
        server.hang_up()
        with pytest.raises(UnreachedError):
            waiting.result(30)
    with pytest.raises(UnreachedError):
        direct.call("echo", 1)


def test_an_engine_that_came_back_is_called_at_its_new_address(
    server: Server, direct: Direct
) -> None:
    assert direct.call("echo", 1) == (1,)
    line, other = direct._line, Server()
    assert line is not None
    server.address = other.address
    server.hang_up()
    until(lambda: not line.is_open)
    assert direct.call("echo", 2) == (2,)
    other.close()


def test_what_only_ray_can_carry_is_left_to_it(direct: Direct) -> None:
    for method, args in (("echo", (lambda: None,)), ("unpicklable", ()), ("echo", (bytes(2**20),))):
        with pytest.raises(UnreachedError):
            direct.call(method, *args)
    assert direct.call("echo", 1) == (1,)


@pytest.mark.parametrize("kind", ["none", "nobody listens", "wrong secret"])
def test_an_engine_without_a_line_is_called_through_ray(server: Server, kind: str) -> None:
    asked = []
    address = {
        "none": None,
        "nobody listens": replace(server.address, port=1),
        "wrong secret": replace(server.address, secret=bytes(32)),
    }[kind]

    def ask() -> Any:
        asked.append(kind)
        return address

    direct = Direct(ask)
    for _ in range(3):
        with pytest.raises(UnreachedError):
            direct.call("echo", 1)
    assert len(asked) == 1 or kind == "wrong secret"


def test_a_forked_process_has_a_line_of_its_own(direct: Direct) -> None:
    assert direct.call("echo", 1) == (1,)
    child = os.fork()
    if child == 0:
        os._exit(0 if direct.call("echo", 2) == (2,) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert direct.call("echo", 3) == (3,)


def test_a_program_that_has_hung_up_calls_through_ray(direct: Direct) -> None:
    assert direct.call("echo", 1) == (1,)
    direct.close()
    with pytest.raises(UnreachedError):
        direct.call("echo", 1)
