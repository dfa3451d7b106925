"""What CasADi and SUNDIALS say when they fail, translated."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_SENTENCES = (
    ("IDA_TOO_MUCH_WORK|max_num_steps|too many steps|Maximum number of steps", "too many steps were needed"),
    ("IDA_ERR_FAIL|error test", "the error test failed at the smallest step"),
    ("IDA_CONV_FAIL|IDA_NO_RECOVERY|IDA_BAD_EWT|IDA_LINESEARCH", "the corrector did not converge"),
    ("IDA_LSOLVE_FAIL|IDA_LSETUP_FAIL|singular", "the Jacobian of the step was singular"),
    ("min_step_size|step size|step became", "the step size fell below its limit"),
    ("NaN|nan|Inf|not finite", "a value was not finite"),
    (
        "Evaluation failed",
        "the steps fell below the smallest one: a singular Jacobian, or a state that grows without bound",
    ),
    ("consistent", "the unknowns could not be made consistent with the states"),
)


class Captured:
    """What was written to the standard error channel, by C code included."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def text(self) -> str:
        """Return what was written so far."""
        self._stream.flush()
        self._stream.seek(0)
        return self._stream.read().decode(errors="replace")


@contextmanager
def captured_stderr() -> Iterator[Captured]:
    """Collect what C code writes to file descriptor 2, where SUNDIALS tells the time of a failure."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 2)
        try:
            yield Captured(stream)
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def failure_sentence(error: Exception, noise: str) -> str:
    """Return one sentence for a failure of CasADi or SUNDIALS, with the time it names."""
    text = f"{noise}\n{error}"
    sentence = next((words for pattern, words in _SENTENCES if re.search(pattern, text)), "")
    if not sentence:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sentence = lines[-1] if lines else type(error).__name__
    return sentence
