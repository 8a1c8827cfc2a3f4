"""The report of a finished profile: a row per piece, the error of their sum, and widths that are faster."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from aptp.space.architecture import Architecture
from aptp.space.groups import Space
from aptp.space.measured_cost import TableCost, table_cost
from aptp.space.profile import FIXED, Measured, Profile
from export.profile.width_advice import steps


def cost(profile: Profile, space: Space) -> TableCost:
    """Return the cost model that `profile` makes of `space`."""
    return table_cost(profile, space, *profile.setting.latent, profile.setting.tokens)


def table(profile: Profile) -> Table:
    """Return one row per piece: how often it occurs, its time, and at other widths the share of that time."""
    drawn = Table("piece", "kind", "times", "ms", "of that, by gates kept", box=None, pad_edge=False)
    for part in profile.parts:
        whole = part.seconds[part.gates]
        others = (f"{kept}: {found / whole:.2f}" for kept, found in part.seconds.items() if kept < part.gates)
        row = (part.modules[0], part.kind, str(len(part.modules)), f"{1e3 * whole:.3g}", "  ".join(others))
        drawn.add_row(*map(Text, row))
    return drawn


def closing(profile: Profile, space: Space) -> list[str]:
    """Return the lines below the table."""
    model = cost(profile, space)
    return [*_sums(profile, model), *_pace(profile), *_unsteady(profile), *_alignment(profile)]


def _sums(profile: Profile, model: TableCost) -> Iterator[str]:
    dense = profile.wholes[0]
    for whole in profile.wholes:
        predicted = model.of(Architecture.from_json(model.space, whole.architecture))
        yield (
            f"whole UNet of {whole.share:.2f} of the dense MACs: {1e3 * whole.seconds:.4g} ms, "
            f"{whole.seconds / dense.seconds:.3f} of dense; the pieces add up to {1e3 * predicted:.4g} ms "
            f"({predicted / whole.seconds - 1:+.1%}), {predicted / model.dense:.3f} of dense"
        )


def _pace(profile: Profile) -> Iterator[str]:
    paces = sorted(part.pace for part in profile.parts)
    yield (
        f"beside the pieces one large float32 product ran at {paces[0] / 1e9:.0f} to {paces[-1] / 1e9:.0f} "
        "GMACs a second: times apart can differ by as much, times of one piece were taken in turns"
    )


def _unsteady(profile: Profile) -> Iterator[str]:
    restless = [part.modules[0] for part in profile.parts if not part.steady]
    if restless:
        yield f"{len(restless)} pieces did not settle before they were timed: {', '.join(restless)}"


def _alignment(profile: Profile) -> Iterator[str]:
    prunable = [part for part in profile.parts if part.kind != FIXED]
    stepped = [(part, found) for part in prunable if (found := steps(part))]
    if not stepped:
        yield f"no width of {len(prunable)} sublayers sits above a step: aligning widths gains nothing here"
    for part, found in stepped:
        yield f"{part.modules[0]}: {_multiples(part, found)}"


def _multiples(part: Measured, found: list[int]) -> str:
    listed = ", ".join(str(step) for step in found)
    return (
        f"the cost jumps just above {listed} of {part.gates} gates "
        f"({', '.join(str(step * part.chunk) for step in found)} channels): keep no more, or many more"
    )
