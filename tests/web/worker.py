"""A Celery worker in the test's own thread: what lies in the real Redis is run when asked for."""

from __future__ import annotations

from celery import current_app

from workflows_app.gateway import EngineProblem


def deliver() -> int:
    """Act as the Celery worker: take what lies in Redis and run it; return how many."""
    count = 0
    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue(current_app.conf.task_default_queue)
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return count
            message.ack()
            current_app.tasks[message.headers["task"]](*message.payload[0])
            count += 1


def lose_everything() -> None:
    """Empty the queue, as a Redis does that is killed."""
    current_app.loader.import_default_modules()
    with current_app.connection_for_write() as connection:
        queue = connection.SimpleQueue(current_app.conf.task_default_queue)
        queue.clear()
        queue.close()


def refuse(workflow_id: str) -> None:
    """What an engine says to a resume that cannot be."""
    raise EngineProblem(
        "not_resumable", title="It cannot be resumed", detail="Checkpoints are missing.", status=409
    )
