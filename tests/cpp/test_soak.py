"""Ten thousand requests through the C interface, a third of them taken back, leave nothing behind."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

REQUESTS = 10_000


def test_nothing_is_left_behind(program: Callable[[str], Path]) -> None:
    done = subprocess.run([program("soak"), str(REQUESTS)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]  # nor does a sanitizer find a leak or a race
    told = json.loads(done.stdout)
    ends = told["ends"]
    assert sum(ends.values()) == REQUESTS
    ended = told["finished"] + told["failed"] + told["cancelled"] + told["expired"]
    assert told["admitted"] == ended == REQUESTS - told["rejected"]
    assert told["finished"] > REQUESTS / 3
    assert told["cancelled"] > REQUESTS / 10
    assert told["failed"] > 0
    assert told["expired"] > 0
    assert set(ends) - {name for name, count in ends.items() if not count} <= {
        "ok",
        "pending",
        "cancelled",
        "deadline exceeded",
        "engine failure",
        "code unavailable",
    }
    assert told["versions"] == 0
    # Kilobytes, after a quarter of them and after all; a leak of a latent alone, [4, 8, 8], would be 7,500.
    assert told["sanitized"] or told["late"] - told["early"] < 4000
