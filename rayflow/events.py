"""Waiting for the world: timers, and events that a listener of the user's looks out for."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

from rayflow.core.waits import WaitKind
from rayflow.options import check_seconds
from rayflow.runtime import nodes


class EventListener:
    """Base of the user's listeners: a class that looks out for one kind of event.

    It is made anew, without arguments, for each of its two duties, and is never stored: keep no state in
    it. Both run on the event loop of a process that all listeners share, so ``await`` instead of
    blocking; one that blocks holds up itself alone.

    Source: ``ray-workflows`` 1.14.
    """

    async def poll_for_event(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for the event and return it. Called again after a crash that came before it was stored."""
        raise NotImplementedError(f"{type(self).__qualname__} has no poll_for_event.")

    async def event_checkpointed(self, event: Any) -> None:
        """The event is stored and will not be asked for again. Called at least once."""


class TimerListener(EventListener):
    """An event at a point of time."""

    async def poll_for_event(self, timestamp: float) -> None:
        """Wait until ``timestamp`` (Unix seconds); one that has passed is no wait."""
        await asyncio.sleep(timestamp - time.time())


class HTTPListener(EventListener):
    """An event that somebody sends to ``POST /event/send_event/<workflow_id>``.

    ``wait_for_event(HTTPListener, event_key=None)``: the key is that of the task by default. The value
    is the pair ``(event_key, event_payload)``. An event that comes before somebody waits for it is kept;
    of several with one key the first counts.

    Source: ``ray-workflows`` 1.14.
    """


def sleep(duration: float) -> Any:
    """A DAG node that is done ``duration`` seconds after it could start; its value is None.

    The point of time is recorded, so a workflow that is resumed waits for the rest only.

    Raises:
        TypeError, ValueError: no number of seconds.

    Source: seed 002, "Event listeners"; ``ray-workflows`` 1.14.
    """
    seconds = check_seconds("duration", duration, zero=True)
    if seconds is None:
        raise TypeError("duration is a number of seconds, not None.")
    wait = {"kind": WaitKind.TIMER, "seconds": seconds}
    return nodes.waiting(_sleep, "workflow.sleep", wait, (seconds,))


def wait_for_event(event_listener_type: Any, *args: Any, **kwargs: Any) -> Any:
    """A DAG node whose value is the event that a listener waits for.

    Args:
        event_listener_type: a subclass of :class:`EventListener`.
        *args, **kwargs: for its ``poll_for_event``; other nodes, too.

    Raises:
        TypeError: it is no such class, or the arguments do not fit.

    Source: ``ray-workflows`` 1.14.
    """
    if not (
        isinstance(event_listener_type, type) and issubclass(event_listener_type, EventListener)
    ):
        raise TypeError(
            f"wait_for_event takes a subclass of workflow.EventListener, not {event_listener_type!r}."
        )
    if event_listener_type is TimerListener and _is_time(args, kwargs):
        wait = {"kind": WaitKind.TIMER, "at": float((*args, *kwargs.values())[0])}
        return nodes.waiting(_until, "workflow.wait_for_event", wait, (wait["at"],))
    if event_listener_type is HTTPListener:
        return _over_http(*args, **kwargs)
    return _listening(event_listener_type, args, kwargs)


def _is_time(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    given = (*args, *kwargs.values())
    return len(given) == 1 and type(given[0]) in (int, float) and not set(kwargs) - {"timestamp"}


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _until(timestamp: float) -> None:
    time.sleep(max(0.0, timestamp - time.time()))


def _over_http(event_key: object = None) -> Any:
    if event_key is not None and (not isinstance(event_key, str) or not event_key):
        raise TypeError(f"event_key is a non-empty string, not {event_key!r}.")
    wait = {"kind": WaitKind.EVENT, "name": event_key}
    return nodes.waiting(_over_http_alone, "workflow.wait_for_event", wait)


def _over_http_alone() -> None:
    raise RuntimeError(
        "Events over HTTP reach workflows only; run the DAG with workflow.run instead of execute()."
    )


def _listening(listener: type[EventListener], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Two tasks: the event is stored as the value of the first before the second confirms it."""
    try:
        inspect.signature(listener.poll_for_event).bind(None, *args, **kwargs)
    except TypeError as error:
        problem = f"The arguments of {listener.__qualname__}.poll_for_event do not fit: {error}."
        raise TypeError(problem) from None
    wait = {"kind": WaitKind.LISTENER}
    event = nodes.waiting(_poll, "workflow.wait_for_event.poll", wait, (listener, *args), kwargs)
    return nodes.waiting(_confirm, "workflow.wait_for_event", wait, (listener, event))


async def poll(listener: type[EventListener], *args: Any, **kwargs: Any) -> Any:
    """Look out for an event."""
    return await listener().poll_for_event(*args, **kwargs)


async def confirm(listener: type[EventListener], event: Any) -> Any:
    """Say that an event is stored, and pass it on."""
    await listener().event_checkpointed(event)
    return event


def _poll(listener: type[EventListener], *args: Any, **kwargs: Any) -> Any:
    return asyncio.run(poll(listener, *args, **kwargs))


def _confirm(listener: type[EventListener], event: Any) -> Any:
    return asyncio.run(confirm(listener, event))


# What plain Ray runs, and beside it what runs on an event loop with others.
_poll.hosted = poll  # type: ignore[attr-defined]
_confirm.hosted = confirm  # type: ignore[attr-defined]
