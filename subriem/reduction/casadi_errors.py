"""What CasADi and SUNDIALS say when they fail, translated."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SENTENCES = (
    ("KeyboardInterrupt", "it was interrupted"),
    ("IDA_TOO_MUCH_WORK|max_num_steps|too many steps|Maximum number of steps", "too many steps were needed"),
    ("IDA_ERR_FAIL|error test", "the error test failed at the smallest step"),
    ("IDA_CONV_FAIL|IDA_NO_RECOVERY|IDA_BAD_EWT|IDA_LINESEARCH", "the corrector did not converge"),
    ("IDA_LSOLVE_FAIL|IDA_LSETUP_FAIL|singular", "the Jacobian of the step was singular"),
    ("IDA_REP_RES_ERR|IDA_FIRST_RES_FAIL|IDA_RES_FAIL|NaN|nan|Inf|not finite", "a value was not finite"),
    ("min_step_size|step size|step became", "the step size fell below its limit"),
    ("consistent", "the unknowns could not be made consistent with the states"),
)
#: What is left: a Rosenbrock step that is rejected down to the smallest one says no more than that.
OTHER = "no step was small enough: a singular Jacobian, a value that is not finite, or a state without bound"


def failure_sentence(error: Exception) -> str:
    """Return one sentence for a failure of CasADi or SUNDIALS, in words of ours."""
    text = re.sub(r"\S*\.[ch]pp:\d+:?", "", str(error))  # places in CasADi's sources
    return next((words for pattern, words in _SENTENCES if re.search(pattern, text)), OTHER)


class _Muted:
    """A stream that swallows what muted threads write; CasADi hands SUNDIALS' messages to sys.stderr."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() in _threads else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_threads: dict[int, int] = {}
_lock = threading.Lock()


@contextmanager
def muted() -> Iterator[None]:
    """Swallow what this thread writes to sys.stderr; other threads write on, and no file descriptor is touched."""
    me = threading.get_ident()
    with _lock:
        _threads[me] = _threads.get(me, 0) + 1
        if not isinstance(sys.stderr, _Muted):
            sys.stderr = _Muted(sys.stderr)
    try:
        yield
    finally:
        with _lock:
            _threads[me] -= 1
            if not _threads[me]:
                del _threads[me]
            if not _threads and isinstance(sys.stderr, _Muted):
                sys.stderr = sys.stderr.stream
