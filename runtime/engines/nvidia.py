"""NVIDIA's devices as the driver tells of them, with neither torch nor a toolkit installed."""

import ctypes
from dataclasses import dataclass
from functools import cache

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@dataclass(frozen=True, slots=True)
class Device:
    """`architecture` such as `sm90`; `driver`, the newest CUDA version that its driver serves, as `13.0`."""

    architecture: str
    driver: str


@cache
def device() -> Device | None:
    """Return the first device, or None where there is none (or no driver)."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, handle, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if cuda.cuDeviceGet(ctypes.byref(handle), 0) or cuda.cuDriverGetVersion(ctypes.byref(version)):
        return None
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle):
            return None
        capability.append(value.value)
    major, minor = capability
    return Device(f"sm{major}{minor}", f"{version.value // 1000}.{version.value % 1000 // 10}")


def missing() -> str | None:
    """Why no NVIDIA GPU can be used here, or None if one can."""
    return None if device() else "no NVIDIA GPU answers here (libcuda.so.1 is missing, or finds no device)"
