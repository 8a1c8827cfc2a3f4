"""Whether this machine is the one that a compiled engine was made for."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from runtime.bundle.schema import Compiled
from runtime.engines import nvidia
from runtime.machine import processor

# What a machine may have more of; everything else has to be equal.
_FLOORS = ("driver",)
# TensorRT's module comes in a distribution per CUDA release, with or without the one that chooses among them.
_DISTRIBUTIONS = {"torch": ("torch",), "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")}


def mismatch(entry: Compiled) -> str | None:
    """Say in words what of the entry's target this machine is not, or return None if it is all of it."""
    here = facts(entry.target.get("device", "cpu"))
    for name, wanted in sorted(entry.target.items()):
        found = here.get(name)
        if found is None:
            return f"was compiled for {name} {wanted}, which this machine does not have"
        if found != wanted and not (name in _FLOORS and _numbers(found) >= _numbers(wanted)):
            least = "at least " if name in _FLOORS else ""
            return f"was compiled for {name} {least}{wanted}, and this machine has {found}"
    return None


def facts(device: str) -> Mapping[str, str]:
    """Describe this machine by the names that targets use: those that it has."""
    found = {"device": device, **_versions()}
    if device == "cpu":
        return {**found, "architecture": f"{platform.machine()} {processor.vectors()}"}
    gpu = nvidia.device()
    return {**found, "architecture": gpu.architecture, "driver": gpu.driver} if gpu else _versions()


def _versions() -> dict[str, str]:
    return {name: found for name, names in _DISTRIBUTIONS.items() if (found := next(_installed(names), None))}


def _installed(distributions: Sequence[str]) -> Iterator[str]:
    for name in distributions:
        with suppress(PackageNotFoundError):
            yield version(name)


def _numbers(text: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in text.split(".")]
