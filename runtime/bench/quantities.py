"""Numbers for people: three digits, a unit that suits, and a dash where there is no number."""

from collections.abc import Mapping

NONE = "–"


def time(seconds: float | None) -> str:
    """Return such as `1.23 s`, `45.6 ms`, `7.89 µs`."""
    if seconds is None:
        return NONE
    for scale, unit in ((1, "s"), (1e3, "ms")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{1e6 * seconds:.3g} µs"


def percent(share: float | None) -> str:
    """Return such as `0.123 %` below a tenth, `45 %` above."""
    if share is None:
        return NONE
    return f"{100 * share:.3g} %" if share < 0.1 else f"{100 * share:.0f} %"


def number(value: float | None) -> str:
    """Write `0.97`"""
    return NONE if value is None else f"{value:.2f}"


def ratio(found: Mapping[str, float | None] | None) -> str:
    """Return such as `1.94 [1.9–1.97]`, or without the interval where there is none."""
    if found is None:
        return NONE
    middle, low, high = (found[key] for key in ("middle", "low", "high"))
    return f"{middle:.3g}" if low is None else f"{middle:.3g} [{low:.3g}–{high:.3g}]"


def scaled(count: float) -> str:
    """Return such as `402.1 G`; a unit's name follows it."""
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= scale:
            return f"{count / scale:.1f} {prefix}"
    return f"{count:.0f} "


def size(count: float) -> str:
    """Return bytes such as `1.23 GiB`, `45.6 MiB`, `7.8 KiB`."""
    for scale, unit, digits in ((2**30, "GiB", 2), (2**20, "MiB", 1)):
        if abs(count) >= scale:
            return f"{count / scale:.{digits}f} {unit}"
    return f"{count / 2**10:.1f} KiB"
