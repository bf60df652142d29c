"""A program: the follower takes in journals while its PostgreSQL server is killed and started again.

In the end the registry must hold what a rebuild from the journals gives.
"""

from __future__ import annotations

import os
import threading
import time

from tests.postgresql import Server, postgresql
from tests.waiting import until

WORKFLOWS, TASKS, KILLS = 60, 20, 3
PAUSE = 0.05  # seconds


def main() -> None:
    with postgresql() as server:
        os.environ |= {"DATABASE_URL": server.address, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        _follow_through(server)


def _follow_through(server: Server) -> None:
    from django.db import connection

    from tests.web.fake_gateway import FakeGateway
    from tests.web.stories import begin, rows
    from workflows_app import follower, projection
    from workflows_app.models import Workflow

    follower.FALLBACK_SECONDS = 0.2
    engine, stop = FakeGateway(), threading.Event()
    thread = threading.Thread(target=follower.Follower(engine).run, args=(stop,), daemon=True)
    thread.start()
    tasks = tuple(f"fit_{n}" for n in range(TASKS))
    for number in range(WORKFLOWS):
        begin(engine, workflow_id := f"w{number}", tasks=tasks)
        for task in tasks:
            engine.write(workflow_id, "started", task, 1)
            engine.write(workflow_id, "succeeded", task, 1)
        engine.write(workflow_id, "status", status="SUCCESSFUL")
        time.sleep(PAUSE)  # so that the follower has taken in a part
        if number % (WORKFLOWS // KILLS) == WORKFLOWS // KILLS // 2:
            server.kill()
            time.sleep(5 * PAUSE)
            server.start()
    connection.close()  # this thread's own has died with the server
    until(lambda: Workflow.objects.filter(status="SUCCESSFUL").count() == WORKFLOWS)
    stop.set()
    thread.join()
    followed = rows()
    projection.forget_everything()
    follower.Follower(engine).reconcile()
    assert rows() == followed
    print(f"{len(followed['events'])} events after {KILLS} kills, equal")


if __name__ == "__main__":
    main()
