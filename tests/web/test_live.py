"""The live socket, spoken to over the real ASGI application and a real Redis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from rayflow_web.asgi import application
from tests.web.fake_gateway import FakeGateway
from workflows_app import after_commit, consumers, live, live_hub, services, tokens
from workflows_app.follower import Follower
from workflows_app.live import News
from workflows_app.models import BulkOperation, Workflow

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = (b"origin", b"http://127.0.0.1:8000")


def session_of(user: User) -> tuple[bytes, bytes]:
    """The cookie header of a browser in which `user` has signed in."""
    client = Client()
    client.force_login(user)
    return b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()


# asgiref ships its testing module without types.
Communicator: Any = ApplicationCommunicator


class Link:
    """The client's end of a websocket."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        scope = {
            "type": "websocket",
            "path": "/ws/v1/",
            "query_string": b"",
            "headers": list(headers),
            "subprotocols": ["rayflow.v1"],
        }
        self._server = Communicator(application, scope)

    async def open(self) -> dict[str, Any]:
        """Shake hands; return the server's answer."""
        await self._server.send_input({"type": "websocket.connect"})
        return await self.hear()

    async def say(self, frame: str | dict[str, Any]) -> None:
        """Send one frame."""
        text = frame if isinstance(frame, str) else json.dumps(frame)
        await self._server.send_input({"type": "websocket.receive", "text": text})

    async def hear(self, timeout: float = 8) -> dict[str, Any]:
        """The server's next message."""
        message: dict[str, Any] = await self._server.receive_output(timeout=timeout)
        return message

    async def is_silent(self, seconds: float) -> bool:
        """Whether the server says nothing for so long."""
        return bool(await self._server.receive_nothing(timeout=seconds))

    async def shut(self) -> None:
        """Hang up."""
        await self._server.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._server.wait(timeout=8)


@asynccontextmanager
async def socket(*headers: tuple[bytes, bytes]) -> AsyncIterator[Link]:
    """An open socket of somebody who may watch."""
    link = Link(*headers)
    assert (await link.open())["subprotocol"] == "rayflow.v1"
    try:
        yield link
    finally:
        await link.shut()


async def frame(link: Link, *kinds: str, timeout: float = 8) -> dict[str, Any]:
    """The next frame of one of these kinds."""
    while True:
        output = await link.hear(timeout)
        received: dict[str, Any] = json.loads(output["text"])
        if received["type"] in kinds:
            return received


async def subscribe(link: Link, topic: str, **more: Any) -> dict[str, Any]:
    """Subscribe and return the first answer."""
    await link.say({"type": "sub", "id": topic, "topic": topic, **more})
    return await frame(link, "snap", "err")


@pytest.fixture
def browser(viewer: User) -> Callable[[], Any]:
    """Open sockets as a signed-in browser with the viewer's role."""
    headers = (ORIGIN, session_of(viewer))
    return lambda: socket(*headers)


@pytest.fixture
def write(engine: FakeGateway, follower: Follower) -> Callable[..., Any]:
    """Write records and have the follower carry them into the registry."""

    def write_now(workflow_id: str, *records: tuple[Any, ...]) -> None:
        if workflow_id not in engine.journals:
            engine.write(workflow_id, "accepted", root="main", definition="digits")
            engine.write(workflow_id, "task", "main", name="main")
        for kind, task, attempt, data in records:
            engine.write(workflow_id, kind, task, attempt, **data)
        follower.step(0)

    return sync_to_async(write_now)


RUNNING = ("status", None, None, {"status": "RUNNING"})
DONE = ("status", None, None, {"status": "SUCCESSFUL"})


async def test_a_change_of_a_workflow_reaches_its_page(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    await write("w1", RUNNING)
    async with browser() as link:
        first = await subscribe(link, "workflow:w1")
        assert (first["rev"], first["data"]["status"]) == (3, "RUNNING")
        await write("w1", DONE)
        patch = await frame(link, "patch")
        assert (patch["rev"], patch["data"]["status"]) == (4, "SUCCESSFUL")


async def test_changed_tasks_are_sent_and_unchanged_ones_are_not(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    await write("w1", ("task", "other", None, {"name": "other"}), RUNNING)
    async with browser() as link:
        first = await subscribe(link, "tasks:w1")
        assert [row["task_id"] for row in first["data"]["tasks"]] == ["main", "other"]
        await write("w1", ("started", "other", 1, {}))
        patch = await frame(link, "patch")
        assert [(row["task_id"], row["status"]) for row in patch["data"]["tasks"]] == [
            ("other", "RUNNING")
        ]


async def test_a_subscription_that_knows_a_number_is_told_what_came_after_it(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    await write("w1", RUNNING)
    await write("w1", ("started", "main", 1, {}))
    async with browser() as link:
        first = await subscribe(link, "tasks:w1", after=3)
        assert first["rev"] == 4
        assert len(first["data"]["tasks"]) == 1


async def test_the_list_sends_the_rows_that_changed_and_says_when_there_are_new_ones(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    for name in ("a", "b"):
        await write(name, RUNNING)
    async with browser() as link:
        first = await subscribe(link, "list", params={"ids": ["a", "b"]})
        assert len(first["data"]["rows"]) == 2
        await write("b", DONE)
        patch = await frame(link, "patch")
        assert [row["workflow_id"] for row in patch["data"]["rows"]] == ["b"]
        assert patch["data"]["has_new"] is False
        assert patch["rev"] > first["rev"]
        await write("c", RUNNING)
        patch = await frame(link, "patch")
        assert (patch["data"]["rows"], patch["data"]["has_new"]) == ([], True)


async def test_a_page_may_wait_for_a_workflow_that_does_not_exist_yet(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    async with browser() as link:
        first = await subscribe(link, "workflow:w1")
        assert (first["data"], first["rev"]) == (None, 0)
        await write("w1", RUNNING)
        assert (await frame(link, "patch"))["data"]["workflow_id"] == "w1"


async def test_a_pending_command_is_heard_of_though_it_is_no_event(
    browser: Callable[[], Any], write: Callable[..., Any], operator: User
) -> None:
    await write("w1", RUNNING)
    async with browser() as link:
        await subscribe(link, "workflow:w1")
        workflow = await Workflow.objects.aget()
        await sync_to_async(services.request)(operator, "cancel", workflow)
        patch = await frame(link, "patch")
        # Number 0: clients skip what is not above the last number, and this must not be skipped.
        assert (patch["rev"], patch["data"]["pending_command"]) == (0, "cancel")


async def test_a_deleted_workflow_is_told_as_gone(
    browser: Callable[[], Any], write: Callable[..., Any], engine: FakeGateway
) -> None:
    await write("w1", RUNNING)
    async with browser() as link:
        await subscribe(link, "workflow:w1")
        engine.delete("w1")
        await write("w2", RUNNING)
        reset = await frame(link, "reset")
        assert (reset["id"], reset["reason"]) == ("workflow:w1", "gone")


async def test_a_dropped_doorbell_costs_two_seconds_and_nothing_else(
    browser: Callable[[], Any], write: Callable[..., Any], settings: Settings
) -> None:
    await write("w1", RUNNING)
    async with browser() as link:
        await subscribe(link, "workflow:w1")
        # The follower's Redis is away: its doorbell is lost.
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
            }
        }
        await write("w1", DONE)
        patch = await frame(link, "patch", timeout=live_hub.POLL_SECONDS + 3)
        assert patch["data"]["status"] == "SUCCESSFUL"


async def test_heartbeats_tell_where_every_topic_is(
    browser: Callable[[], Any], write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.2)
    await write("w1", RUNNING)
    async with browser() as link:
        await subscribe(link, "workflow:w1")
        beat = await frame(link, "hb")
        assert beat["heads"] == {"workflow:w1": 3}


async def test_many_doorbells_are_answered_with_few_frames(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    await write("w1", RUNNING)
    async with browser() as link:
        await subscribe(link, "workflow:w1")
        for n in range(30):
            await write("w1", ("cancel_requested", None, None, {"n": n}))
        revs: list[int] = []
        while not revs or revs[-1] < 33:
            revs.append((await frame(link, "patch"))["rev"])
        assert revs == sorted(set(revs))
        assert len(revs) < 30


async def test_an_ended_subscription_is_silent(
    browser: Callable[[], Any], write: Callable[..., Any]
) -> None:
    await write("w1", RUNNING)
    async with browser() as link:
        await subscribe(link, "workflow:w1")
        await link.say({"type": "unsub", "id": "workflow:w1"})
        await link.say({"type": "ping", "t": 7})
        assert (await frame(link, "pong"))["t"] == 7
        await write("w1", DONE)
        assert await link.is_silent(live_hub.TICK_SECONDS * 3)


@pytest.mark.parametrize(
    "sent",
    [
        "no json",
        "[]",
        '{"type":"dance"}',
        '{"type":"sub","id":"x","topic":"secrets"}',
        '{"type":"sub","id":"x","topic":"workflow:"}',
        '{"type":"sub","topic":"list"}',
        '{"type":"sub","id":"x","topic":"list","params":{"ids":"all"}}',
        '{"type":"sub","id":"x","topic":"list","after":"yesterday"}',
    ],
)
async def test_a_frame_that_makes_no_sense_is_answered_with_a_problem(
    browser: Callable[[], Any], sent: str
) -> None:
    async with browser() as link:
        await link.say(sent)
        error = await frame(link, "err")
        assert error["problem"]["status"] == 400
        assert error["problem"]["detail"]


async def test_the_number_of_subscriptions_is_bounded(browser: Callable[[], Any]) -> None:
    async with browser() as link:
        for n in range(consumers.MAX_TOPICS):
            await link.say({"type": "sub", "id": str(n), "topic": f"workflow:{n}"})
        await link.say({"type": "sub", "id": "more", "topic": "list"})
        assert (await frame(link, "err"))["id"] == "more"


async def test_an_account_has_a_bounded_number_of_sockets(
    browser: Callable[[], Any], viewer: User
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(consumers.MAX_SOCKETS):
            await stack.enter_async_context(browser())
        cookie = await sync_to_async(session_of)(viewer)
        one_more = Link(ORIGIN, cookie)
        await one_more.open()
        assert (await one_more.hear())["code"] == consumers.TOO_MANY
    async with browser() as link:  # there is room again
        assert (await frame(link, "welcome"))["max_subs"] == consumers.MAX_TOPICS


async def test_a_socket_does_not_subscribe_without_end(browser: Callable[[], Any]) -> None:
    async with browser() as link:
        for _ in range(consumers.MAX_SUBSCRIPTIONS):
            await link.say({"type": "sub", "id": "same", "topic": "overview"})
        await link.say({"type": "sub", "id": "more", "topic": "overview"})
        error = await frame(link, "err")
        assert (error["id"], "a minute" in error["problem"]["detail"]) == ("more", True)


async def test_a_bulk_operation_and_a_command_are_watched(
    browser: Callable[[], Any], write: Callable[..., Any], operator: User
) -> None:
    await write("w1", RUNNING)
    workflow = await Workflow.objects.aget()
    command = await sync_to_async(services.request)(operator, "cancel", workflow)
    bulk = await BulkOperation.objects.acreate(kind="resume", total=3)
    async with browser() as link:
        first = await subscribe(link, f"bulk:{bulk.pk}")
        assert (first["data"]["total"], first["data"]["done"]) == (3, 0)
        await BulkOperation.objects.filter(pk=bulk.pk).aupdate(done=2)
        assert (await frame(link, "patch"))["data"]["done"] == 2
        first = await subscribe(link, f"operation:{command.pk}")
        assert first["data"]["state"] == "QUEUED"
        assert (await subscribe(link, "operation:no-id"))["type"] == "err"


async def test_all_pages_of_a_process_read_a_topic_once(
    browser: Callable[[], Any], write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    read = live.read

    def counted(subscriptions: Any) -> Any:
        looks.append(len(subscriptions))
        return read(subscriptions)

    monkeypatch.setattr(live, "read", counted)
    monkeypatch.setattr(live_hub, "POLL_SECONDS", 60.0)
    await write("w1", RUNNING)
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(browser()) for _ in range(5)]
        for link in links:
            await subscribe(link, "workflow:w1")
        looks.clear()
        await write("w1", DONE)
        for link in links:
            assert (await frame(link, "patch"))["data"]["status"] == "SUCCESSFUL"
        assert looks == [5]


def test_news_that_a_slow_page_has_not_taken_become_one_frame() -> None:
    def tasks(rev: int, *ids: str, kind: str = "patch") -> News:
        return News(kind, rev, {"tasks": [{"task_id": i, "n": rev} for i in ids]})

    topic = live.parse("tasks:w", {})
    both = live.merged(topic, tasks(1, "a", "b", kind="snap"), tasks(2, "b", "c"))
    assert (both.type, both.rev) == ("snap", 2)
    assert [(t["task_id"], t["n"]) for t in (both.data or {})["tasks"]] == [
        ("a", 1), ("b", 2), ("c", 2),
    ]  # fmt: skip
    many = live.merged(topic, both, tasks(3, *map(str, range(live.MAX_TASK_ROWS))))
    assert many.data == {"tasks": [], "truncated": True}

    def rows(rev: int, *ids: str, gone: list[str], has_new: bool = False) -> News:
        data = {"rows": [{"workflow_id": i} for i in ids], "gone": gone, "has_new": has_new}
        return News("patch", rev, data)

    topic = live.parse("list", {})
    both = live.merged(topic, rows(1, "a", gone=["b"], has_new=True), rows(2, "b", gone=["c"]))
    assert both.data == {
        "rows": [{"workflow_id": "a"}, {"workflow_id": "b"}], "gone": ["c"], "has_new": True,
    }  # fmt: skip
    gone = News("reset", 0, extra={"reason": "gone"})
    assert live.merged(live.parse("workflow:w", {}), tasks(1), gone) is gone


async def test_a_program_comes_with_a_token_and_without_an_origin(viewer: User) -> None:
    _, secret = await sync_to_async(tokens.create)(viewer, "watcher")
    async with socket((b"authorization", f"Bearer {secret}".encode())) as link:
        assert (await subscribe(link, "overview"))["type"] == "snap"


async def test_a_token_of_another_network_is_sent_away(viewer: User) -> None:
    _, secret = await sync_to_async(tokens.create)(viewer, "watcher", networks=["192.0.2.0/24"])
    link = Link((b"authorization", f"Bearer {secret}".encode()))
    assert (await link.open())["type"] == "websocket.accept"
    assert (await link.hear())["code"] == consumers.UNAUTHENTICATED


@pytest.mark.parametrize(
    "headers",
    [[ORIGIN], [(b"authorization", b"Bearer rf_wrong")]],
    ids=["no session", "wrong token"],
)
async def test_a_stranger_is_sent_away(db: None, headers: list[tuple[bytes, bytes]]) -> None:
    link = Link(*headers)
    assert (await link.open())["type"] == "websocket.accept"
    assert (await link.hear())["code"] == consumers.UNAUTHENTICATED


async def test_an_account_without_a_role_is_sent_away(nobody: User) -> None:
    cookie = await sync_to_async(session_of)(nobody)
    link = Link(ORIGIN, cookie)
    await link.open()
    assert (await link.hear())["code"] == consumers.FORBIDDEN


async def test_a_page_of_another_site_cannot_connect(viewer: User) -> None:
    cookie = await sync_to_async(session_of)(viewer)
    evil = (b"origin", b"https://evil.example")
    assert (await Link(evil, cookie).open())["type"] == "websocket.close"


async def test_a_socket_ends_soon_after_its_session(
    viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.1)
    cookie = await sync_to_async(session_of)(viewer)
    async with socket(ORIGIN, cookie) as link:
        await frame(link, "welcome")
        await viewer.groups.aclear()
        assert (await link.hear())["code"] == consumers.FORBIDDEN


def test_topics_of_one_workflow_share_a_bell_and_other_workflows_do_not() -> None:
    assert after_commit.group_of("workflow:a") == after_commit.group_of("tasks:a")
    assert after_commit.group_of("workflow:a") != after_commit.group_of("workflow:b")
    assert after_commit.group_of("list") != after_commit.group_of("workflow:list")
