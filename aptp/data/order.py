"""A shuffled order of any length, another one for every pass over it, looked up by position alone.

Nothing is stored: a permutation of n things is a Feistel network (Luby and Rackoff 1988) over the next larger
square of a power of two, walked until it lands below n. So it does not depend on a library's random numbers,
and a run that resumes at position 10⁹ starts as fast as one at 0.
"""

import hashlib
from functools import lru_cache

ROUNDS = 8
WORD = (1 << 64) - 1


def shuffled(position: int, count: int, seed: int) -> int:
    """Return which of `count` things stands at `position`: each once in every pass of `count` positions."""
    turn, place = divmod(position, count)
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    keys = _keys(seed, turn)
    while True:
        place = _network(place, half, keys)
        if place < count:
            return place


def _network(place: int, half: int, keys: tuple[int, ...]) -> int:
    mask = (1 << half) - 1
    left, right = place >> half, place & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return left << half | right


def _mixed(word: int) -> int:
    """Apply the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


@lru_cache(maxsize=4)
def _keys(seed: int, turn: int) -> tuple[int, ...]:
    data = hashlib.blake2b(f"{seed} {turn}".encode(), digest_size=8 * ROUNDS).digest()
    return tuple(int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8))
