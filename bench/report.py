"""What every benchmark writes: its environment, its command, its raw samples, and a table made of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-ep-openvino", "openvino", "torch", "triton", "diffusers")


def environment() -> dict[str, Any]:
    """The machine and software these numbers hold for."""
    return {
        **_gpu(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _git("rev-parse", "--short", "HEAD")
        + ("+" if _git("status", "--porcelain", "-uno") else ""),
    }


def save(
    name: str,
    title: str,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    samples: Any,
    pictures: Sequence[str] = (),
) -> None:
    """Writes `bench/results/<name>.json` with everything and `<name>.md` with the tables and ``pictures``,
    files beside it, and prints the latter.
    """
    command = "python -m " + " ".join([f"bench.{name.partition('.')[0]}", *sys.argv[1:]])
    body = {"environment": environment(), "command": command, "tables": tables, "samples": samples}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n")
    lines = [f"# {title}", "", f"`{command}`", "", *(f"- {k}: {v}" for k, v in environment().items())]
    for heading, rows in tables.items():
        lines += ["", f"## {heading}", "", *_table(rows)]
    for picture in pictures:
        lines += ["", f"![{picture}]({picture})"]
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def spread(samples: Sequence[float]) -> str:
    """`median [lowest-highest]` in milliseconds or seconds, whichever reads better."""
    scale, unit = (1e3, "ms") if median(samples) < 1 else (1, "s")
    low, middle, high = (scale * x for x in (min(samples), median(samples), max(samples)))
    return f"{middle:.3g} [{low:.3g}-{high:.3g}] {unit}"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = list(rows[0])
    line = "| " + " | ".join(heads) + " |"
    return [
        line,
        "|" + "---|" * len(heads),
        *("| " + " | ".join(str(r[h]) for h in heads) + " |" for r in rows),
    ]


def _cpu() -> str:
    flags = ""
    for row in Path("/proc/cpuinfo").read_text().splitlines():
        if row.startswith("model name"):
            name = row.partition(":")[2].strip()
        if row.startswith("flags"):
            flags = row
    extras = [x for x in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {x}" in flags]
    return f"{name} ({', '.join(extras)})"


def _gpu() -> dict[str, str]:
    torch = sys.modules.get("torch")  # a benchmark without torch has no use for one
    if torch is None or not torch.cuda.is_available():
        return {}
    major, minor = torch.cuda.get_device_capability()
    return {"gpu": f"{torch.cuda.get_device_name()} ({major}.{minor}, CUDA {torch.version.cuda})"}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()
