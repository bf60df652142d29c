"""Which attempt goes to which bundle, and what becomes of those that a bundle leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import Outcome
from rayflow.runtime import bundles
from rayflow.runtime.bundle_worker import UNREACHED
from rayflow.runtime.bundles import Bundles
from rayflow.runtime.exchange import Address
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall

ARGS = StoredValue("json", 1, 0, b"1")
DIED = Outcome("lost", error={"type": "ray.exceptions.WorkerCrashedError"}, has_died=True)


class FakeRay:
    """Takes requests, and ends them when a test says so."""

    def __init__(self) -> None:
        self.alone: list[TaskCall] = []
        self.bundles: dict[int, Handle] = {}
        self.stopped: list[Handle] = []
        self.refuses = False

    def submit(self, call: TaskCall, options: dict[str, Any], refs: list[Any]) -> Handle:
        self.alone.append(call)
        return Handle(asyncio.get_running_loop().create_future(), "a value")

    def bundle(self, address: Address, number: int, name: str, options: dict[str, Any]) -> Handle:
        if self.refuses:
            raise ValueError("no such option")
        handle = self.bundles[number] = Handle(asyncio.get_running_loop().create_future(), number)
        return handle

    async def outcome(self, handle: Handle) -> Any:
        return await handle.outcome

    def stop(self, handle: Handle, *, force: bool) -> None:
        self.stopped.append(handle)


class FakePeer:
    """A worker's end: what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def calls(self) -> list[int]:
        return [n for what, _, more in self.sent if what == "calls" for n, _ in more]


class Table:
    """Bundles, with a worker for each as soon as a test lets it arrive."""

    def __init__(self) -> None:
        self.ray = FakeRay()
        self.bundles = Bundles(self.ray, self.recall)  # type: ignore[arg-type]
        self.bundles.open(Address("127.0.0.1", 1, b"secret"))
        self.peers: dict[int, FakePeer] = {}
        self.relays: dict[tuple[str, int, int], dict[tuple[str, int], Outcome]] = {}

    async def recall(
        self, workflow_id: str, epoch: int, number: int
    ) -> dict[tuple[str, int], Outcome]:
        return self.relays.get((workflow_id, epoch, number), {})

    def submit(self, *codes: str, **options: Any) -> list[Any]:
        return [
            self.bundles.submit(
                TaskCall(
                    "", "w", f"{code}-{n}", 1, code, ARGS, (), False, True, "t", may_share=True
                ),
                options,
                [],
            )
            for n, code in enumerate(codes)
        ]

    def arrive(self, number: int) -> FakePeer:
        peer = self.peers[number] = FakePeer()
        self.say(number, "here", None)
        return peer

    def say(self, number: int, what: Any, more: Any) -> None:
        self.bundles.heard(self.peers[number], (what, number, more))  # type: ignore[arg-type]

    def end(self, number: int, result: Any) -> None:
        """The Ray task of a bundle has ended, and its last words have arrived."""
        if number in self.peers:
            self.say(number, "left", None)
        self.ray.bundles[number].outcome.set_result(result)

    async def know(self, code: str) -> None:
        """Let ``code`` be known to be short."""
        (call,) = self.submit(code)
        await turns()
        (number,) = self.ray.bundles
        self.arrive(number)
        await turns()
        self.say(number, "ended", [(call.number, ended(0.0001))])
        await turns()
        self.say(number, "ended", [])
        self.end(number, None)
        await turns()
        self.ray.bundles.clear()
        self.peers.clear()


def ended(seconds: float) -> Outcome:
    return Outcome(
        "value", value=ARGS, detail={"started_at": 100.0, "finished_at": 100.0 + seconds}
    )


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def at_a_table(test: Callable[[Table], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        await test(Table())

    def test_run() -> None:
        asyncio.run(run())

    test_run.__doc__ = test.__doc__
    return test_run


@at_a_table
async def test_code_that_nobody_knows_gets_a_worker_for_each_attempt(table: Table) -> None:
    table.submit("new", "new", "new")
    await turns()
    assert len(table.ray.bundles) == 3
    assert [len(table.arrive(number).calls) for number in table.ray.bundles] == [0, 0, 0]
    await turns()
    assert [len(peer.calls) for peer in table.peers.values()] == [1, 1, 1]


@at_a_table
async def test_short_attempts_go_to_one_worker_together(table: Table) -> None:
    await table.know("short")
    calls = table.submit(*["short"] * 60)
    await turns()
    (number,) = table.ray.bundles
    peer = table.arrive(number)
    await turns()
    assert peer.calls == [call.number for call in calls]


@at_a_table
async def test_a_worker_that_never_came_costs_the_attempt_it_was_for(table: Table) -> None:
    first, second = table.submit("new", "new")
    await turns()
    table.end(min(table.ray.bundles), DIED)
    await turns()
    assert first.outcome.result() is DIED
    assert not second.outcome.done()


@at_a_table
async def test_of_a_worker_that_dies_the_attempt_that_ran_has_failed(table: Table) -> None:
    await table.know("short")
    calls = table.submit(*["short"] * 5)
    await turns()
    (number,) = table.ray.bundles
    peer = table.arrive(number)
    await turns()
    table.say(number, "ended", [(calls[0].number, ended(0.0001))])
    table.bundles.signed(peer, calls[2].number)  # type: ignore[arg-type]
    table.end(number, DIED)
    await turns()
    kinds = [call.outcome.result().kind for call in calls]
    assert kinds == ["value", "returned", "lost", "returned", "returned"]


@at_a_table
async def test_where_no_worker_can_connect_every_attempt_is_a_ray_task(table: Table) -> None:
    calls = table.submit("new", "new")
    await turns()
    table.end(min(table.ray.bundles), UNREACHED)
    await turns()
    assert len(table.ray.alone) == 2
    assert [call.value for call in calls] == ["a value"] * 2
    table.submit("new")
    assert len(table.ray.alone) == 3
    table.bundles.stop(calls[0], force=False)
    assert table.ray.stopped == [calls[0].alone]


@at_a_table
async def test_what_waits_behind_one_that_takes_long_goes_to_another_worker(table: Table) -> None:
    await table.know("short")
    calls = table.submit(*["short"] * 4)
    await turns()
    (number,) = table.ray.bundles
    table.arrive(number)
    await turns()
    table.say(number, "slow", [call.number for call in calls[1:]])
    await turns()
    another = max(table.ray.bundles)
    assert another != number
    peer = table.arrive(another)
    await turns()
    assert peer.calls == [call.number for call in calls[1:]]


@at_a_table
async def test_a_large_value_ends_the_bundle_and_stays_with_its_attempt(table: Table) -> None:
    (call,) = table.submit("new")
    await turns()
    (number,) = table.ray.bundles
    table.arrive(number)
    await turns()
    table.end(number, (call.number, ended(0.001)))
    await turns()
    assert call.outcome.result().kind == "value"
    assert call.value == number


@at_a_table
async def test_other_resources_and_live_inputs_make_it_a_ray_task_of_its_own(table: Table) -> None:
    table.submit("new", num_gpus=1)
    (plain,) = table.submit("new")
    table.bundles.submit(plain.call, {}, [(0, "a reference")])
    assert len(table.ray.alone) == 2
    await turns()
    assert len(table.ray.bundles) == 1


@at_a_table
async def test_options_that_ray_refuses_are_an_error_of_the_attempt(table: Table) -> None:
    table.ray.refuses = True
    (call,) = table.submit("new", num_cpus=-1)
    await turns()
    assert call.outcome.result().kind == "error"
    assert "no such option" in call.outcome.result().error["message"]


@at_a_table
async def test_what_waits_is_stopped_without_a_word_and_what_has_a_worker_there(
    table: Table,
) -> None:
    waiting, sent = table.submit("new", "new")
    table.bundles.stop(waiting, force=False)
    await turns()
    assert waiting.outcome.result().kind == "stopped"
    (number,) = table.ray.bundles
    peer = table.arrive(number)
    await turns()
    table.bundles.stop(sent, force=False)
    assert peer.sent[-1] == ("stop", number, sent.number)
    table.bundles.stop(sent, force=True)
    assert peer.sent[-1] == ("kill", number, sent.number)
    table.say(number, "doomed", sent.number)
    assert table.ray.stopped == [table.ray.bundles[number]]


def test_a_worker_that_does_not_heed_is_ended_by_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "KILL_SECONDS", 0.01)

    async def run() -> None:
        table = Table()
        (call,) = table.submit("new")
        await turns()
        (number,) = table.ray.bundles
        table.arrive(number)
        await turns()
        table.bundles.stop(call, force=True)
        while not table.ray.stopped:
            await asyncio.sleep(0.005)
        assert table.ray.stopped == [table.ray.bundles[number]]

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_worker_without_work_is_let_go_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "LINGER_SECONDS", 0.01)

    async def run() -> None:
        table = Table()
        (call,) = table.submit("new")
        await turns()
        (number,) = table.ray.bundles
        peer = table.arrive(number)
        await turns()
        table.say(number, "ended", [(call.number, ended(0.001))])
        while peer.sent[-1][0] != "end":
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_request_that_nobody_waits_for_any_more_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundles, "PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        table = Table()
        first, second = table.submit("new", "new")
        await turns()
        (early, late) = table.ray.bundles
        table.bundles.stop(first, force=False)
        table.bundles.stop(second, force=False)
        while len(table.ray.stopped) < 2:
            await asyncio.sleep(0.005)
        peer = table.arrive(early)  # it was on its way
        assert peer.sent == [("end", early, None)]
        (third,) = table.submit("new")
        table.end(late, Outcome("stopped", has_died=True))
        await turns()
        assert not third.outcome.done()

    asyncio.run(asyncio.wait_for(run(), 30))


@at_a_table
async def test_what_was_stopped_while_it_waited_is_not_given_back(table: Table) -> None:
    await table.know("short")
    calls = table.submit(*["short"] * 3)
    await turns()
    (number,) = table.ray.bundles
    table.arrive(number)
    await turns()
    table.say(number, "ended", [(calls[2].number, Outcome("stopped"))])
    table.say(number, "slow", [calls[1].number, calls[2].number])
    await turns()
    assert calls[2].outcome.result().kind == "stopped"
    assert not calls[1].outcome.done()
