"""Where numbers were measured: processor, clocks, graphics, software, and who else was at work.

Everything is read, nothing is set; what the system does not tell is left out.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runtime.machine import memory, processor

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
PACKAGES = (
    *("aptp", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino"),
    *("tensorrt", "torch", "triton", "diffusers", "tokenizers"),
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_AFFINITY")
GPU = ("name", "compute_cap", "driver_version", "memory.total", "power.limit")
GPU_NOW = ("clocks.sm", "clocks.mem", "temperature.gpu", "clocks_throttle_reasons.active")
_SECONDS = 20  # for a program that only reads


def machine() -> dict[str, Any]:
    """Return what a part's identity and a profile name: the machine and its Python."""
    return {
        "machine": platform.machine(),
        "processor": processor.name(),
        "cores": processor.threads(),
        "python": platform.python_version(),
    }


def command() -> str:
    """Return the command line of this process, as a shell would take it."""
    return shlex.join(sys.orig_argv)


def environment() -> dict[str, Any]:
    """Return what does not change during a run."""
    found = {
        "processor": processor.name(),
        "flags": [flag for flag in FLAGS if flag in processor.flags()],
        "cores": processor.threads(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_gib": round(memory.whole() / 2**30, 1),
        "system": platform.platform(),
        "gpus": _gpus(GPU),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit(),
        "variables": {name: os.environ[name] for name in THREADS if name in os.environ},
    }
    return {name: value for name, value in found.items() if value}


def moment() -> dict[str, Any]:
    """Return what may change during a run: the time, clocks, and how many processes want to run."""
    found = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2),
        "clock_mhz": processor.clocks(),
        "gpus": _gpus(GPU_NOW),
    }
    return {name: value for name, value in found.items() if value != []}


def commit() -> str | None:
    """Return the source tree's commit, with a `+` where files differ from it; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    head = _output("git", "-C", str(root), "rev-parse", "HEAD")
    return f"{head}+" if head and _output("git", "-C", str(root), "status", "--porcelain", "-uno") else head


def _gpus(fields: tuple[str, ...]) -> list[dict[str, str]]:
    lines = _output("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader").splitlines()
    return [dict(zip(fields, map(str.strip, line.split(",")), strict=False)) for line in lines]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
