"""Budgets, cancellation (with a real SIGINT) and progress."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from subriem.core.budget import Budget, CancelToken, Meter, interruptible, progress_callback
from subriem.core.errors import MissingExtraError, ProblemError


@pytest.mark.parametrize(
    ("budget", "answer"),
    [
        (Budget(), ""),
        (Budget(steps=5), "steps: 5 of 5"),
        (Budget(steps=6), ""),
        (Budget(evaluations=7), "evaluations: 60 of 7"),
        (Budget(seconds=0.25), "seconds: 0.5 of 0.25"),
        (Budget(steps=0), "steps: 5 of 0"),
        (Budget(steps=6, evaluations=60), "evaluations: 60 of 60"),
        (Budget(steps=np.int64(5)), "steps: 5 of 5"),
        (Budget(evaluations=1e6, seconds=np.inf), ""),
    ],
)
def test_exceeded_names_the_limit(budget, answer):
    assert budget.exceeded(steps=5, evaluations=60, seconds=0.5) == answer


@pytest.mark.parametrize("bad", [{"steps": -1}, {"seconds": np.nan}, {"evaluations": "10"}, {"steps": True}])
def test_budget_refuses(bad):
    with pytest.raises(ProblemError, match=f"Budget: {next(iter(bad))}"):
        Budget(**bad)


def test_meter_measures_time_and_bounds_the_fraction():
    told = []
    meter = Meter(Budget(seconds=0.005), lambda fraction, text: told.append((fraction, text)))
    assert meter.spent(0, 0) == ""
    time.sleep(0.01)
    assert meter.spent(0, 0).startswith("seconds: ")
    for fraction in (-1.0, 0.5, 2.0, np.nan):
        meter.tell(fraction, "x")
    assert told == [(0.0, "x"), (0.5, "x"), (1.0, "x"), (0.0, "x")]
    Meter(Budget()).tell(0.5, "nobody listens")


def test_a_callback_that_raises_is_not_hidden():
    def broken(fraction, text):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Meter(Budget(), broken).tell(0.5, "x")


def test_the_first_reason_of_a_cancellation_is_kept():
    token = CancelToken()
    assert token.reason == ""
    token.cancel("one")
    token.cancel("two")
    assert token.reason == "one"
    empty = CancelToken()
    empty.cancel("")
    assert empty.reason == "cancelled"


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # the handler runs between two bytecodes


def test_first_sigint_cancels_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    token = CancelToken()

    def run():
        with interruptible(token) as inside:
            assert inside is token
            interrupt()
            assert token.reason == "SIGINT"
            interrupt()
            pytest.fail("the second interrupt was swallowed")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert signal.getsignal(signal.SIGINT) is before


def test_handler_is_restored_after_an_error_and_after_a_quiet_run():
    before = signal.getsignal(signal.SIGINT)
    with interruptible(CancelToken()):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ValueError, match="x"), interruptible(CancelToken()):
        raise ValueError("x")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_that_is_no_function_is_left_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(CancelToken()) as token:
            interrupt()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert token.reason == ""
    finally:
        signal.signal(signal.SIGINT, before)


def test_interruptible_in_a_thread_touches_no_handler():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with interruptible(CancelToken()) as token:
            seen.append((token.reason, signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [("", True)]


@pytest.mark.parametrize("nothing", [None, False])
def test_no_progress(nothing):
    with progress_callback(nothing, "run") as tell:
        assert tell is None


def test_own_progress_is_passed_through():
    def own(fraction, text):
        return None

    with progress_callback(own, "run") as tell:
        assert tell is own


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    with progress_callback(True, "my run") as tell:
        tell(0.25, "a")
        tell(0.5, "b")
    out, err = capsys.readouterr()
    assert out == ""
    assert "my run" in err


def test_progress_bar_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    with pytest.raises(MissingExtraError, match="progress"), progress_callback(True, "run"):
        pass


def test_progress_refuses():
    with pytest.raises(ProblemError, match="progress is neither"), progress_callback("yes", "run"):
        pass
