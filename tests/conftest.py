"""What every test run shares."""

import os
import signal
import threading

from hypothesis import settings

# Before anything imports matplotlib: no test may need a display.
os.environ.setdefault("MPLBACKEND", "agg")

# No deadline: a first call that compiles is slow, and timings gate nothing. In CI every run draws the same
# examples, so that a red run is about the change; elsewhere each run looks at new ones.
settings.register_profile("subriem", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("subriem")


def pytest_configure() -> None:
    """Take SIGINT as a terminal would send it: a shell starts background jobs with SIGINT ignored."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
