"""Made-up profiles: what a machine would say whose times are known in advance."""

from collections.abc import Callable, Iterable

from aptp.space.architecture import full
from aptp.space.cost import LinearCost
from aptp.space.groups import Space, WidthGroup
from aptp.space.profile import FIXED, Measured, Profile, Setting, Whole

LATENT, TOKENS = (8, 8), 5
SETTING = Setting("cpu (made up)", "float32", 2, 2, LATENT, TOKENS)


def part(
    modules: str | Iterable[str], seconds: dict[int, float], kind: str = "resnet", chunk: int = 2
) -> Measured:
    """A part with three samples of each of `seconds`, by gates kept, that hardly differ."""
    names = (modules,) if isinstance(modules, str) else tuple(modules)
    samples = {kept: (one, one * 1.001, one * 0.999) for kept, one in seconds.items()}
    return Measured(names, kind, max(seconds), chunk, True, 1e9, samples)


def profile(
    space: Space,
    seconds: Callable[[WidthGroup, int], float] = lambda group, kept: 1.0 + kept,
    fixed: dict[str, float] | None = None,
    setting: Setting = SETTING,
) -> Profile:
    """Each group of `space` at every number of gates; `fixed`: by module, what no gate saves."""
    parts = [
        part(group.module, {n: seconds(group, n) for n in range(1, group.gates + 1)}, group.kind, group.chunk)
        for group in space.widths
    ]
    parts += [part(module, {1: spent}, FIXED, 0) for module, spent in (fixed or {"conv_in": 1.0}).items()]
    whole = Whole(1.0, **full(space).to_json(), steady=True, samples=(10.0,))
    return Profile(setting, {"command": "made up"}, True, tuple(parts), (whole,))


def counted(cost: LinearCost, setting: Setting = SETTING) -> Profile:
    """A machine that takes a nanosecond per MAC, exactly."""
    shares = {group.module: float(cost.per_gate[columns][0]) for group, columns in cost.space.columns()}
    fixed = {
        gate.module: float(spent) for gate, spent in zip(cost.space.depths, cost.fixed, strict=True) if spent
    }
    return profile(
        cost.space,
        lambda group, kept: 1e-9 * kept * shares[group.module],
        {module: 1e-9 * spent for module, spent in {"conv_in": cost.base, **fixed}.items()},
        setting,
    )
