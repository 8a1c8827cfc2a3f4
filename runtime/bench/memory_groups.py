"""Groups of contenders that take turns: as many at a time as memory holds, the first contender in each."""

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.bench.spec import BenchSpec, Contender
from runtime.bundle.schema import Manifest
from runtime.engines.choice import fitting
from runtime.formats import DENSE
from runtime.machine.memory import half_of_memory

FLOAT32 = 4
PEER = (
    4  # times the dense weights in float32 that one may hold: optimum, the largest measured, held 3.7 times
)


@dataclass(frozen=True, slots=True)
class Competitor:
    """A contender of ours, or a peer where that is None. `size`: the bytes that it is taken to hold."""

    name: str
    size: int
    contender: Contender | None = None


def line_ups(spec: BenchSpec, manifest: Manifest) -> list[tuple[Competitor, ...]]:
    """Return all contenders in groups that fit into the memory for engines, at least two to a group.

    An expert that is larger than the budget together with the first is still compared: see `does_not_fit`.
    """
    first, *others = rivals(spec, manifest)
    groups, budget = [[first]], _budget(spec)
    for rival in others:
        if len(groups[-1]) > 1 and sum(one.size for one in groups[-1]) + rival.size > budget:
            groups.append([first])
        groups[-1].append(rival)
    return [tuple(group) for group in groups]


def does_not_fit(group: tuple[Competitor, ...], spec: BenchSpec) -> bool:
    """Return whether engines of the group will push each other out of memory."""
    ours = [rival.size for rival in group if rival.contender]
    return len(ours) > 1 and sum(ours) > _budget(spec)


def rivals(spec: BenchSpec, manifest: Manifest) -> Iterator[Competitor]:
    """Yield every contender and peer, in the order in which tables show them."""
    for contender in spec.contenders:
        yield Competitor(contender.name, _size(contender, manifest), contender)
    if spec.peers and "image" in spec.levels and (fewer := fewer_steps(spec, manifest)):
        yield Competitor(fewer.name, 0, fewer)  # the engine is dense's own
    largest = max(expert.parameters for expert in manifest.experts.values())
    for name in spec.peers:
        yield Competitor(name, PEER * FLOAT32 * largest)


def files(contender: Contender, manifest: Manifest) -> list[str]:
    """Return the files of the bundle that its engine opens."""
    expert = manifest.experts[contender.expert]
    compiled = fitting(expert, contender.engine)
    return [compiled.file] if compiled else list(expert.model.paths)


def _size(contender: Contender, manifest: Manifest) -> int:
    expert = manifest.experts[contender.expert]
    if fitting(expert, contender.engine):
        return sum(manifest.files[path].size for path in files(contender, manifest))
    return FLOAT32 * expert.parameters


def fewer_steps(spec: BenchSpec, manifest: Manifest) -> Contender | None:
    """Return the dense model in so few steps that an image costs what the experts' images do on average.

    None where dense is not among the contenders, or nothing else is.
    """
    costs = [manifest.experts[name].macs for name in spec.experts if name != DENSE]
    if DENSE not in spec.experts or not costs:
        return None
    share = sum(costs) / len(costs) / manifest.experts[DENSE].macs
    steps = max(1, round(spec.params.steps * share))
    return Contender(f"{DENSE} in {steps} steps", DENSE, spec.engines[0], steps)


def _budget(spec: BenchSpec) -> int:
    return spec.memory or half_of_memory()
