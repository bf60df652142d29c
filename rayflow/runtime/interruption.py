"""How a body hears that it is to stop: as a KeyboardInterrupt, at once, wherever its code is.

Ray interrupts a task by setting off Python's handler of SIGINT, without sending the signal itself. So a
body that sleeps or waits in C would hear of it when it comes back. Python also writes a byte to the
"wakeup" descriptor then: a thread of ours reads it, and sends the main thread a harmless signal (SIGURG)
that ends such a wait.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType


class Interruption:
    """Whether an attempt was asked to stop.

    Attributes:
        is_asked: set as soon as the attempt is asked to stop, for any thread to look at.
        is_deaf: the body is over: its outcome is not to be lost by an interruption any more.
    """

    def __init__(self, *, is_deaf: bool = False) -> None:
        self.is_asked = False
        self.is_deaf = is_deaf

    def interrupt(self) -> None:
        """Ask the attempt to stop, from another thread of its process, where Ray blocks the signal itself."""
        self.is_asked = True
        _thread.interrupt_main(signal.SIGINT)
        signal.pthread_kill(_main_thread(), signal.SIGURG)

    @contextmanager
    def audible(self) -> Iterator[None]:
        """Have requests to stop raise in the block, also one that came before it.

        Raises:
            KeyboardInterrupt: the attempt was asked to stop.
        """
        self.is_deaf = False
        try:
            if self.is_asked:
                raise KeyboardInterrupt
            yield
        finally:
            self.is_deaf = True

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT, called in the main thread."""
        self.is_asked = True
        if not self.is_deaf:
            raise KeyboardInterrupt


@contextmanager
def interruptible(interruption: Interruption) -> Iterator[None]:
    """Have requests to stop raise KeyboardInterrupt in the block. Only in the main thread."""
    ear = _ear()
    ear.listener = interruption
    heard = signal.signal(signal.SIGINT, interruption.hear)
    urged = signal.signal(signal.SIGURG, _ignore)
    woken = signal.set_wakeup_fd(ear.descriptor, warn_on_full_buffer=False)
    try:
        yield
    finally:
        interruption.is_deaf = True
        ear.listener = None
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGURG, urged)
        signal.signal(signal.SIGINT, heard)


@contextmanager
def interruptible_by(current: Callable[[], Interruption | None]) -> Iterator[Callable[[], None]]:
    """Have :meth:`Interruption.interrupt` raise KeyboardInterrupt in the block, for whichever is ``current``.

    One that is current no more, or not yet, hears nothing. Only in the main thread. Gives what to call before
    each body: the one before may have changed who is told of signals.
    """

    def hear(number: int, frame: FrameType | None) -> None:
        interruption = current()
        if interruption is not None and interruption.is_asked and not interruption.is_deaf:
            raise KeyboardInterrupt

    def listen() -> None:
        if signal.getsignal(signal.SIGINT) is not hear:
            signal.signal(signal.SIGINT, hear)

    heard = signal.getsignal(signal.SIGINT)
    urged = signal.signal(signal.SIGURG, _ignore)
    try:
        yield listen
    finally:
        signal.signal(signal.SIGURG, urged)
        signal.signal(signal.SIGINT, heard)


class _Ear(threading.Thread):
    """Hears every signal of the process, even while the main thread does not run any Python."""

    def __init__(self) -> None:
        super().__init__(name="rayflow-ear", daemon=True)
        self.listener: Interruption | None = None
        self._source, self.descriptor = os.pipe()
        os.set_blocking(self.descriptor, False)

    def run(self) -> None:
        while signals := os.read(self._source, 64):
            listener = self.listener
            if signal.SIGINT in signals and listener is not None:
                listener.is_asked = True
                signal.pthread_kill(_main_thread(), signal.SIGURG)


@lru_cache(maxsize=1)
def _ear() -> _Ear:
    ear = _Ear()
    ear.start()
    return ear


def _main_thread() -> int:
    identifier = threading.main_thread().ident
    assert identifier is not None
    return identifier


def _ignore(number: int, frame: FrameType | None) -> None:
    """Arriving is all that this signal is for."""
