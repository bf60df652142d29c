"""The only sender to the channel layer and the only place that enqueues Celery tasks.

Both happen after the surrounding transaction has committed, so a receiver always finds the rows
it is told about. Both are hints: a lost doorbell is healed by the consumers' polling, a lost task
by the sweep. Neither may therefore fail the request that caused it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from celery import current_app
from channels.layers import get_channel_layer
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from workflows_app import log_context

logger = logging.getLogger(__name__)

# Tasks are named by string, so that tasks.py may import the services and not the other way.
RUN_COMMAND = "workflows_app.run_command"
ADVANCE_BULK = "workflows_app.advance_bulk"

DOORBELL = "doorbell"

# Ids in one message: few enough that several workers share a large number.
TOGETHER = 25


def enqueue(task: str, *ids: str) -> None:
    """Have Celery run `task` for all ids, some at a time, once the current transaction has committed."""
    if ids:
        transaction.on_commit(partial(_send_tasks, task, ids))


def ring(topics: Mapping[str, int]) -> None:
    """Tell the open pages, after commit, that these topics have reached these revisions."""
    if topics:
        transaction.on_commit(partial(_ring_now, dict(topics)))


def group_of(topic: str) -> str:
    """The channel-layer group of a topic.

    A workflow's own topics share one group: they change together. Ids may hold any character
    and groups may not, so they are hashed.
    """
    kind, _, workflow_id = topic.partition(":")
    if not workflow_id:
        return f"topic.{kind}"
    return f"workflow.{hashlib.blake2b(workflow_id.encode(), digest_size=16).hexdigest()}"


def _send_tasks(task: str, ids: tuple[str, ...]) -> None:
    headers = log_context.message_headers()
    for sent in range(0, len(ids), TOGETHER):
        try:
            current_app.send_task(
                task, args=ids[sent : sent + TOGETHER], retry=False, headers=headers
            )
        except (OperationalError, RedisError, OSError) as error:
            # The others would only wait for the same dead Redis.
            logger.warning(
                "Redis did not take %d of %d %s (%s); the sweep sends them later",
                len(ids) - sent,
                len(ids),
                task,
                error,
            )
            return


def _ring_now(topics: dict[str, int]) -> None:
    # One message per group: workflow:x and tasks:x are one bell.
    bells: dict[str, dict[str, Any]] = {
        group_of(topic): {"type": DOORBELL, "topic": topic, "rev": rev}
        for topic, rev in topics.items()
    }
    asyncio.run_coroutine_threadsafe(_send_all(bells), _loop())


async def _send_all(bells: dict[str, dict[str, Any]]) -> None:
    layer = get_channel_layer()
    try:
        await asyncio.gather(*(layer.group_send(group, bell) for group, bell in bells.items()))
    except (RedisError, OSError) as error:
        logger.warning("Redis took no doorbell (%s); open pages catch up by polling", error)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """A loop of this process's own, so that no caller waits and the connection to Redis is kept."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="doorbells", daemon=True).start()
    return loop
