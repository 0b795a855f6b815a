"""SIGTERM: the scheduler asks this process to end, and long work looks whether it did.

The handler only sets a flag. An error raised by a handler can be lost: Python drops what is raised
inside a weakref callback or a finaliser. Progress, batches and waiting therefore call
`stop_if_asked`, which raises where an error can be handled. If none of them is reached within
GRACE_S, or if the signal comes again later, the handler itself raises, and does so again every
GRACE_S until the work has ended.
"""

from __future__ import annotations

import signal
import threading
import time

GRACE_S = 5.0  # schedulers kill 10 to 30 s after SIGTERM
SAME_REQUEST_S = 1.0  # a scheduler may signal a process and its group: both are one request


class TimeLimit(BaseException):
    """The scheduler asks the process to end (SIGTERM); no method catches it."""


class StopRequest:
    """Whether the process was asked to end; there is one for the process, `REQUEST`."""

    def __init__(self) -> None:
        self.asked_at: float | None = None  # time.monotonic() of the first signal
        self.raised_at = 0.0  # of the last error raised by the handler
        self.may_raise = False
        self.ended: threading.Event | None = None

    @property
    def asked(self) -> bool:
        return self.asked_at is not None

    def begin(self) -> bool:
        """Takes over SIGTERM; false where another handler has it, or outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            return False
        self.asked_at, self.raised_at, self.may_raise = None, 0.0, True
        self.ended = threading.Event()
        signal.signal(signal.SIGTERM, self.on_signal)
        watch = threading.Thread(target=self._insist, args=(self.ended,), daemon=True)
        watch.start()
        return True

    def on_signal(self, number: int, frame: object) -> None:
        """Sets the flag; raises if the flag has been set for long."""
        now = time.monotonic()
        if self.asked_at is None:
            self.asked_at = self.raised_at = now
        elif self.may_raise and now - self.raised_at >= SAME_REQUEST_S:
            self.raised_at = now
            raise TimeLimit(f"signal {number}")

    def _insist(self, ended: threading.Event) -> None:
        while not ended.wait(min(1.0, GRACE_S / 2)):
            if self.asked and time.monotonic() - self.raised_at >= GRACE_S:
                main = threading.main_thread().ident
                assert main is not None
                signal.pthread_kill(main, signal.SIGTERM)

    def be_quiet(self) -> None:
        """From here on a signal sets the flag and raises nothing: the work ends by itself."""
        self.may_raise = False
        if self.ended is not None:
            self.ended.set()

    def end(self) -> bool:
        """Gives SIGTERM back and forgets the request; returns whether there was one."""
        self.be_quiet()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        asked, self.asked_at = self.asked, None
        return asked


REQUEST = StopRequest()


def stop_if_asked() -> None:
    """Raises TimeLimit if the process was asked to end."""
    if REQUEST.asked and REQUEST.may_raise:
        raise TimeLimit("SIGTERM")
