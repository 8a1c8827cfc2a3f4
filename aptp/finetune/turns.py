"""The samples of stage 2: those that the router sends to the tuned codes, one code after another in turns."""

from collections.abc import Sequence

from torch import Tensor

from aptp.data.sample import NamedSource, Sample, SampleSource
from aptp.finetune.routes import Routes
from runtime.errors import DataError

LOOKED = 16_384  # captions of an endless source after which a code that got none is taken to get none
ROOM = 256  # captions that are routed at least to look for more of a code


class Turns:
    """A source of all `sources` in turns: its position p shows position p // n of the (p mod n)-th of n."""

    def __init__(self, sources: Sequence[SampleSource]) -> None:
        self._sources = sources

    def __getitem__(self, position: int) -> Sample:
        place, turn = divmod(position, len(self._sources))
        return self._sources[turn][place]


def turns(source: NamedSource, routes: Routes, codes: Sequence[int], samples: int) -> Turns:
    """Return the samples of `source` that go to each of `codes`, in turns; at least `samples` of each.

    A code's samples and their order do not depend on the other codes. Raises DataError where a code gets
    none.
    """
    if source.count is None:
        chosen = [_endless(routes, code, samples) for code in codes]
    else:
        everything = routes.first(source.count)
        chosen = [(everything == code).nonzero()[:, 0] for code in codes]
    for code, positions in zip(codes, chosen, strict=True):
        if not len(positions):
            raise DataError(
                f"the router sends none of {source.count or LOOKED} captions to code {code}: "
                "leave it out of --codes, or give other --data"
            )
    return Turns([source.only(positions) for positions in chosen])


def _endless(routes: Routes, code: int, samples: int) -> Tensor:
    """Return the first `samples` positions that go to `code`, or none of them."""
    looked = samples
    while True:
        found = (routes.first(looked) == code).nonzero()[:, 0]
        if len(found) >= samples or (not len(found) and looked >= LOOKED):
            return found[:samples]
        if len(found):
            looked = max(looked * samples // len(found), looked + ROOM)
        else:
            looked = min(2 * looked + ROOM, LOOKED)
