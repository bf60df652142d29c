"""Events that listeners look out for, on a real Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rayflow import workflow
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.engine.test_signals import together
from tests.waiting import content, until


class FileListener(workflow.EventListener):
    """The event is that a file has content, which is the event."""

    async def poll_for_event(self, path: str, ledger: str | None = None) -> str:
        if ledger:
            note(Path(ledger), "poll")
        while not (event := content(path)):
            await asyncio.sleep(0.05)
        return event

    async def event_checkpointed(self, event: str) -> None:
        if event.startswith("ledger:"):
            note(Path(event.removeprefix("ledger:")), "checkpointed")


class Broken(workflow.EventListener):
    async def poll_for_event(self, where: str) -> str:
        if where == "poll":
            raise ValueError("cannot listen")
        return "heard"

    async def event_checkpointed(self, event: str) -> None:
        raise ValueError("cannot confirm")


class Blocking(workflow.EventListener):
    """Holds up the event loop that it is on."""

    async def poll_for_event(self, begun: str, flag: str) -> str:
        Path(begun).touch()
        while not Path(flag).exists():
            time.sleep(0.05)
        return "at last"


class Deadly(workflow.EventListener):
    """Ends the process that it is in."""

    async def poll_for_event(self, ledger: str) -> None:
        note(Path(ledger), "deadly")
        os._exit(1)


def hosts() -> list[psutil.Process]:
    """The processes for listeners."""
    return [
        p
        for p in psutil.process_iter(["cmdline"])
        if "ray::Host" in " ".join(p.info["cmdline"] or [])
    ]


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Files whose content is an event; all are there at the end, so that nothing waits on."""
    made = []

    def path(name: str) -> Path:
        made.append(tmp_path / name)
        return made[-1]

    yield path
    for file in made:
        file.write_text("over")


def test_events_are_waited_for_beside_each_other_and_beside_other_arguments(
    engine: str, words: Callable[[str], Path]
) -> None:
    first, second = words("first"), words("second")
    dag = together.bind(
        workflow.wait_for_event(FileListener, str(first)),
        1,
        workflow.wait_for_event(FileListener, path=str(second)),
    )
    ref = workflow.run_async(dag, workflow_id="two-events")
    second.write_text("b")
    first.write_text("a")
    assert ray.get(ref) == ["a", 1, "b"]


def test_an_event_may_be_a_whole_workflow_or_a_continuation(
    engine: str, words: Callable[[str], Path]
) -> None:
    path = words("word")
    path.write_text("now")

    @ray.remote
    def then(file: str) -> Any:
        return workflow.continuation(workflow.wait_for_event(FileListener, file))

    assert workflow.run(workflow.wait_for_event(FileListener, str(path))) == "now"
    assert workflow.run(then.bind(str(path))) == "now"


def test_an_argument_of_a_listener_may_be_the_value_of_a_task(
    engine: str, words: Callable[[str], Path]
) -> None:
    path = words("named")
    path.write_text("found")

    @ray.remote
    def name() -> str:
        return str(path)

    assert workflow.run(workflow.wait_for_event(FileListener, name.bind())) == "found"


def test_timers_wait_until_their_time_and_not_for_one_that_has_passed(engine: str) -> None:
    begun = time.time()
    dag = together.bind(
        workflow.wait_for_event(workflow.TimerListener, begun + 1),
        workflow.wait_for_event(workflow.TimerListener, begun - 100),
        workflow.sleep(0.2),
    )
    assert workflow.run(dag) == [None, None, None]
    assert begun + 1 <= time.time() < begun + 30


def test_an_exception_of_a_listener_is_the_error_of_its_task(engine: str) -> None:
    for where, text in (("poll", "cannot listen"), ("confirm", "cannot confirm")):
        with pytest.raises(workflow.WorkflowExecutionError, match=text):
            workflow.run(workflow.wait_for_event(Broken, where), workflow_id=f"broken-{where}")
        assert workflow.get_status(f"broken-{where}") == workflow.FAILED


def test_an_event_is_polled_for_until_it_is_stored_and_confirmed_after_that(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, path, ledger = own_engine(), tmp_path / "word", tmp_path / "ledger"
    ledger.touch()
    dag = together.bind(workflow.wait_for_event(FileListener, str(path), str(ledger)))
    workflow.run_async(dag, workflow_id="stored-event")
    until(lambda: executions(ledger)["poll"] == 1)
    killed = engine_pid(root)
    os.kill(killed, signal.SIGKILL)
    until(lambda: executions(ledger)["poll"] == 2)
    path.write_text(f"ledger:{ledger}")
    assert workflow.get_output("stored-event") == [f"ledger:{ledger}"]
    assert executions(ledger) == {"poll": 2, "checkpointed": 1}


def test_a_listener_that_blocks_holds_up_nobody_else(
    engine: str, tmp_path: Path, words: Callable[[str], Path]
) -> None:
    flag, begun, path = words("flag"), words("begun"), words("other")
    other = workflow.run_async(workflow.wait_for_event(FileListener, str(path)))
    blocks = workflow.wait_for_event(Blocking, str(begun), str(flag))
    ref = workflow.run_async(blocks, workflow_id="blocks")
    until(begun.exists)
    path.write_text("heard all the same")
    assert ray.get(other) == "heard all the same"
    later = words("later")
    later.write_text("and later")
    assert workflow.run(workflow.wait_for_event(FileListener, str(later))) == "and later"
    assert workflow.get_status("blocks") == workflow.RUNNING
    flag.touch()
    assert ray.get(ref) == "at last"


def test_a_listener_that_ends_its_process_fails_alone(
    own_engine: Callable[..., str], tmp_path: Path, words: Callable[[str], Path]
) -> None:
    own_engine()
    path, ledger = words("survivors"), tmp_path / "ledger"
    refs = [workflow.run_async(workflow.wait_for_event(FileListener, str(path))) for _ in range(6)]
    deadly = workflow.wait_for_event(Deadly, str(ledger))
    with pytest.raises(workflow.WorkflowExecutionError, match="ListenerDied"):
        workflow.run(deadly, workflow_id="deadly")
    assert workflow.get_status("deadly") == workflow.RESUMABLE
    path.write_text("alive")
    assert ray.get(refs) == ["alive"] * 6


def test_a_listener_is_cancelled_and_its_process_stays(
    engine: str, words: Callable[[str], Path]
) -> None:
    path = words("never")
    workflow.run_async(workflow.wait_for_event(FileListener, str(path)), workflow_id="unheard")
    until(
        lambda: workflow.get_metadata("unheard", "workflow.wait_for_event.poll")["attempts"] != []
    )
    workflow.cancel("unheard")
    assert workflow.get_status("unheard") == workflow.CANCELED
    path.write_text("too late")
    assert workflow.run(workflow.wait_for_event(FileListener, str(path))) == "too late"


def test_many_listeners_share_one_process_and_hold_no_cpu(
    own_engine: Callable[..., str], words: Callable[[str], Path]
) -> None:
    own_engine()
    before, path = set(hosts()), words("for-all")  # of engines of other tests, which may still end
    refs = [
        workflow.run_async(
            workflow.wait_for_event(FileListener, str(path)), workflow_id=f"many-{n}"
        )
        for n in range(200)
    ]
    task = "workflow.wait_for_event.poll"
    until(lambda: workflow.get_metadata("many-199", task)["attempts"] != [])
    assert len(set(hosts()) - before) == 1
    until(lambda: ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"])
    path.write_text("x")
    assert ray.get(refs) == ["x"] * 200


@pytest.mark.parametrize(
    "arguments", [(3,), (str,), (FileListener,), (FileListener, "a", "b", "c"), (FileListener(),)]
)
def test_what_is_no_listener_or_does_not_fit_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        workflow.wait_for_event(*arguments)
