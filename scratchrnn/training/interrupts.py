"""Sections that Ctrl-C must not leave halfway.

Python runs a signal's handler in the main thread, between any two instructions there, and a handler that raises
(KeyboardInterrupt for Ctrl-C) ends whatever was going on. Blocking signals in the main thread does not help: another
thread takes the signal, and the handler runs in the main thread all the same. So the handlers themselves are made to
wait: while an `Interrupts` block is open, each is wrapped in a function that either calls it at once or, in a section
that is held, notes the call for the end of that section.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]
SIGNALS = tuple(map(int, signal.valid_signals()))


class Interrupts:
    """A `with` block in which `hold()` and `release()` enclose short sections that no signal handler interrupts.

        with Interrupts() as interrupts:
            ...                    # handlers run as ever
            interrupts.hold()
            try:
                ...                # handlers wait
            finally:
                interrupts.release()    # and run here

    In the main thread alone; in other threads there is nothing to hold, since Python runs no handlers there. When the
    block ends every handler is what it was before, unless another one was set in the meantime.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: list[tuple[Handler, int, FrameType | None]] = []
        self._wrapped: dict[int, tuple[Handler, Handler]] = {}  # signal: its handler, and the one in its place

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in SIGNALS:
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._wrap(number, handler)
            except BaseException:
                self._unwrap()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        self.hold()
        try:
            self._unwrap()
        finally:
            self.release()

    def hold(self) -> None:
        """From here on handlers wait."""
        self._held = True

    def release(self) -> None:
        """Run the handlers that have waited, all of them even if one raises, and from here on each at once."""
        self._held = False
        if self._waiting:
            handler, number, frame = self._waiting.pop(0)
            try:
                handler(number, frame)
            finally:
                self.release()

    def drop(self) -> None:
        """Forget the handlers that have waited."""
        self._waiting.clear()

    def _wrap(self, number: int, handler: Handler) -> None:
        def waiting(number: int, frame: FrameType | None) -> None:
            if self._held:
                self._waiting.append((handler, number, frame))
            else:
                handler(number, frame)

        self._wrapped[number] = handler, waiting
        signal.signal(number, waiting)

    def _unwrap(self) -> None:
        """Put the handlers back. One that raises meanwhile, as it may as soon as it is back, is raised at the end."""
        raised: BaseException | None = None
        while self._wrapped:
            try:
                number, (handler, waiting) = next(iter(self._wrapped.items()))
                if signal.getsignal(number) is waiting:
                    signal.signal(number, handler)
                self._wrapped.pop(number, None)
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised
