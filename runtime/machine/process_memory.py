"""The memory of a process: bytes as Linux counts them. Nothing is told of systems that do not."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes of one process: in memory, of those private (no file behind them), and the most there ever was.

    Mapped weights are in `resident` and not in `private`: the system may share them, or take them back.
    """

    resident: int
    private: int
    peak: int


def read(process: int | str = "self", proc: Path = PROC) -> ProcessMemory | None:
    """Return the memory of a process, or None where the system does not tell."""
    try:
        rollup = _fields((proc / str(process) / "smaps_rollup").read_text())
        status = _fields((proc / str(process) / "status").read_text())
        return ProcessMemory(rollup["Rss"], rollup["Anonymous"], status["VmHWM"])
    except (OSError, KeyError):
        return None


def reset_peak(proc: Path = PROC) -> bool:
    """Let this process's `peak` start again from what it holds now; False where that is not allowed."""
    try:
        (proc / "self" / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def give_back() -> None:
    """Give the system what was freed. glibc keeps it: nearly half of what a session of ONNX Runtime held."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)


def _fields(text: str) -> dict[str, int]:
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[-1:] == ["kB"]}
