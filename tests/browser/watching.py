"""What a page must never do: log errors, break the policy, fail, or ask another host."""

from __future__ import annotations

import re

from playwright.sync_api import ConsoleMessage, Error, Page, Request, Response

# What Chromium says where WebGL is drawn without a GPU.
NO_GPU = re.compile(r"GL Driver Message")
# The browser leaves out the fade between two pages when one of them is slow, and says so.
NO_FADE = re.compile(r"Transition was (aborted|skipped)")
# Chromium logs every answer of 400 and above as an error; answers are looked at one by one.
ANSWERED = re.compile(r"Failed to load resource: the server responded with a status of")


class Watch:
    """Listens to a page and keeps what went wrong."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.faults: list[str] = []
        self._allowed: list[re.Pattern[str]] = [ANSWERED, NO_GPU]
        self._statuses: set[int] = set()

    def over(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)
        page.on("response", self._response)

    def allow(self, pattern: str) -> None:
        """Expect console messages that match."""
        self._allowed.append(re.compile(pattern))

    def allow_status(self, status: int) -> None:
        """Expect answers with this status."""
        self._statuses.add(status)

    def _console(self, message: ConsoleMessage) -> None:
        is_fault = message.type in ("error", "warning")
        if is_fault and not any(pattern.search(message.text) for pattern in self._allowed):
            self.faults.append(f"console {message.type}: {message.text}")

    def _error(self, error: Error) -> None:
        if not NO_FADE.search(str(error)):
            self.faults.append(f"uncaught: {error}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.home, "data:", self.home.replace("http", "ws"))):
            self.faults.append(f"request to another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._statuses:
            self.faults.append(f"{response.status} for {response.url}")
