"""Long-polling: answer when something has happened, or when the caller's patience is over.

The waiting itself is asynchronous and holds no transaction; each look at the registry is one
indexed statement. The number of requests that wait at a time is bounded, and one more than that is
answered at once, which is always a correct answer of a long-poll.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

MAX_WAIT_SECONDS = 30
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

# Django runs an asynchronous view as well; its type for views only knows the other kind.
Waiting = Callable[..., Any]


class Waiters:
    """A counter with a limit; used on one event loop per process."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Waiters:
        self.count += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.count -= 1

    @property
    def is_full(self) -> bool:
        return self.count >= int(settings.API_MAX_WAITERS)


waiters = Waiters()


class Patient(Response):
    """An answer that the caller would rather have later, when `is_over` says so.

    `look` reads the answer's data; it gives None when its object has gone.
    """

    def __init__(
        self,
        data: Any,
        *,
        look: Callable[[], Any | None],
        is_over: Callable[[Any], bool],
        seconds: float,
    ) -> None:
        super().__init__(data)
        self.look = look
        self.is_over = is_over
        self.deadline = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)

    @property
    def is_due(self) -> bool:
        return self.is_over(self.data) or time.monotonic() >= self.deadline


def long_poll(view_class: type[APIView]) -> Waiting:
    """The asynchronous form of a view whose `get` may answer with a `Patient` response."""
    view = view_class.as_view()
    answer = sync_to_async(view)

    async def waiting_view(request: HttpRequest, **kwargs: Any) -> Any:
        response = await answer(request, **kwargs)
        if not isinstance(response, Patient) or waiters.is_full:
            return response
        with waiters:
            found = await _wait(response)
        # Gone while we waited: the view says so in its own words.
        return response if found else await answer(request, **kwargs)

    # Routing, the schema generator, login and CSRF handling look at attributes of the view.
    return update_wrapper(waiting_view, view)


async def _wait(response: Patient) -> bool:
    """Look until the response is due; False when its object has gone."""
    pause = FIRST_PAUSE_SECONDS
    look = sync_to_async(response.look)
    while not response.is_due:
        await asyncio.sleep(min(pause, max(response.deadline - time.monotonic(), 0)))
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        fresh = await look()
        if fresh is None:
            return False
        response.data = fresh
    return True
