"""SIGTERM sets a flag that work polls; it is never lost, whatever Python does at that moment."""

import os
import signal
import time
import weakref

import pytest

from fsig_bench.api import stopping
from fsig_bench.api.stopping import REQUEST, TimeLimit, stop_if_asked


@pytest.fixture
def request_of_this_process():
    assert REQUEST.begin()
    yield REQUEST
    REQUEST.end()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and not REQUEST.asked


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class Thing:
    pass


def test_a_signal_inside_a_weakref_callback_is_not_lost(request_of_this_process):
    thing = Thing()
    ref = weakref.ref(thing, lambda _: terminate())
    del thing  # an error raised by a handler here would be dropped
    assert ref() is None and REQUEST.asked
    with pytest.raises(TimeLimit):
        stop_if_asked()


def test_nothing_is_raised_before_it_is_polled_and_nothing_without_a_signal(
    request_of_this_process,
):
    stop_if_asked()
    terminate()
    sum(range(1000))
    terminate()  # a scheduler signals the process and its group
    sum(range(1000))
    with pytest.raises(TimeLimit):
        stop_if_asked()
    REQUEST.be_quiet()
    stop_if_asked()  # the work is ending: nothing is raised any more


def test_work_that_never_polls_is_interrupted(request_of_this_process, monkeypatch):
    monkeypatch.setattr(stopping, "GRACE_S", 0.2)
    monkeypatch.setattr(stopping, "SAME_REQUEST_S", 0.0)
    REQUEST.end()
    assert REQUEST.begin()
    terminate()
    began = time.monotonic()
    with pytest.raises(TimeLimit):
        time.sleep(20)
    assert 0.1 < time.monotonic() - began < 10
    with pytest.raises(TimeLimit):  # and again, should Python have dropped the error
        time.sleep(20)


def test_a_later_signal_interrupts_at_once(request_of_this_process, monkeypatch):
    monkeypatch.setattr(stopping, "SAME_REQUEST_S", 0.01)
    terminate()
    time.sleep(0.05)
    with pytest.raises(TimeLimit):
        terminate()
        sum(range(1000))


def test_a_handler_of_a_launcher_stays():
    seen = []
    signal.signal(signal.SIGTERM, lambda *a: seen.append(1))
    try:
        assert not REQUEST.begin()
        terminate()
        assert seen and not REQUEST.asked
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
