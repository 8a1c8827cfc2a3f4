"""What a measurement depends on besides what was measured: the machine, and the command that was given."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from typing import Any

from runtime.machine import processor


def machine() -> dict[str, Any]:
    """The machine and its Python."""
    return {
        "machine": platform.machine(),
        "processor": processor.name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def command() -> str:
    """The command line of this process, as a shell would take it."""
    return shlex.join(sys.orig_argv)
