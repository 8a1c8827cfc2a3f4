"""The blocks that the kernels work in: one table per architecture, nothing tried out at run time.

**None of these has been measured yet.** They are what reasoning and the compiler allow: every 16-bit entry
was compiled for its architecture, spills nothing and keeps Hopper's products asynchronous (128 x 128 by 4
warps at D = 64, say, does not), and `tests/kernels/attention/test_compiled.py` holds that.
`python -m bench.kernels.sweep` times others beside them; after a run of it, correct the table and this page.

The reasoning, for an H100 (990 TFLOP/s in bfloat16 and 16 exponentials per cycle and multiprocessor):

- A logit costs 4·D operations and one exponential. At D = 64 both take 1/16 cycle, so neither may wait for
  the other: two or more programs per multiprocessor, one's products over another's exponentials. Registers
  allow two up to D = 80 and one at 128 and 160, in the forward kernel, where products bind anyway. Below 64
  exponentials bind, and padding 40 columns to 64 is free; above, products bind, and padding 80 to 128 or 160
  to 256 would cost up to 1.6 times. Elsewhere products bind at every D, and 40 is 32 + 16.
- A block of 64 queries reads k and v from L2 at 64 operations per byte, which an H100's L2 (about 5.5 TB/s)
  serves at 350 TFLOP/s; 128 queries double that. So 128 queries, as far as registers go.
- `dk_dv` keeps two float32 sums of keys · D in registers, `dq` one: D bounds their blocks.
- float32 products run as three TF32 products (2⁻²¹) up to D = 64; beyond, those spill, and plain ones run.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
HEAD_DIMS = (32, 40, 64, 80, 128, 160)
KERNELS = ("forward", "dk_dv", "dq")
OLDEST = (8, 0)
INTERPRETED = {"queries": 64, "keys": 64}  # Triton's interpreter works through a block at a time
ENOUGH = 256  # programs: two for each multiprocessor of the largest GPUs


@dataclass(frozen=True, slots=True)
class Tile:
    """A block of `queries` by `keys`; the first `main` columns of a head are one tile (`rows.py`)."""

    queries: int
    keys: int
    warps: int
    stages: int  # of software pipelining
    main: int


# fmt: off
HOPPER = {  # D: main, then queries, keys, warps, stages of each kernel
    #          forward           dk_dv          dq
    32:  ( 32, (128,  64, 4, 3), (64, 64, 4, 2), (128, 64, 8, 2)),
    40:  ( 64, (128,  64, 8, 3), (64, 64, 4, 2), (128, 64, 8, 2)),
    64:  ( 64, (128,  64, 8, 3), (64, 64, 4, 2), (128, 64, 8, 2)),
    80:  ( 64, (128,  64, 8, 3), (64, 64, 4, 2), ( 64, 64, 4, 2)),
    128: (128, (128,  64, 8, 3), (32, 64, 4, 2), ( 64, 64, 4, 2)),
    160: (128, (128,  64, 8, 2), (32, 64, 8, 2), ( 64, 64, 8, 2)),
}
PORTABLE = {  # fits the 99 KiB of shared memory of 8.6 and 8.9
    32:  ( 32, (128,  64, 4, 2), (32, 64, 4, 2), ( 64, 64, 4, 2)),
    40:  ( 32, ( 64,  64, 4, 2), (32, 64, 4, 2), ( 64, 32, 4, 2)),
    64:  ( 64, (128,  64, 4, 2), (32, 64, 4, 2), ( 64, 32, 4, 2)),
    80:  ( 64, (128,  64, 8, 2), (32, 64, 8, 2), ( 64, 32, 4, 2)),
    128: (128, (128,  32, 8, 2), (32, 64, 8, 2), ( 64, 32, 8, 2)),
    160: (128, (128,  32, 8, 2), (16, 32, 4, 2), ( 64, 16, 8, 2)),
}
FLOAT32 = {
    32:  ( 32, ( 64,  32, 4, 2), (32, 32, 8, 1), ( 32, 32, 4, 1)),
    40:  ( 32, ( 32,  32, 4, 2), (16, 32, 8, 1), ( 32, 32, 4, 1)),
    64:  ( 64, ( 32,  32, 4, 2), (32, 32, 8, 1), ( 32, 32, 4, 1)),
    80:  ( 64, ( 32,  32, 8, 1), (32, 32, 8, 1), ( 32, 32, 8, 1)),
    128: (128, ( 32,  32, 8, 1), (32, 32, 8, 1), ( 32, 32, 8, 1)),
    160: (128, ( 32,  32, 8, 1), (32, 32, 8, 1), ( 32, 32, 8, 1)),
}
# fmt: on


def choose(kernel: str, q: Tensor, k: Tensor) -> Tile:
    """Choose the tile of one of KERNELS for q [B, H, N_q, D] and k [B, H, N_k, D].

    Raises ValueError on a GPU that is too old.
    """
    tile = entry(kernel, q.shape[3], q.dtype, capability(q))
    if not q.is_cuda:
        tile = replace(tile, **INTERPRETED)
    return replace(tile, queries=_fit(tile.queries, q.shape[2]), keys=_fit(tile.keys, k.shape[2]))


def entry(kernel: str, width: int, dtype: torch.dtype, found: tuple[int, int]) -> Tile:
    """Return what the tables say for head dim `width` on compute capability `found`."""
    table = FLOAT32 if dtype == torch.float32 else HOPPER if found == (9, 0) else PORTABLE
    main, *blocks = table[int(width)]
    return Tile(*blocks[KERNELS.index(kernel)], main)


def capability(x: Tensor) -> tuple[int, int]:
    """Return the compute capability of the GPU that holds `x`; the oldest supported one's for the CPU.
    ValueError if it is older.
    """
    found = torch.cuda.get_device_capability(x.device) if x.is_cuda else OLDEST
    if found < OLDEST:
        have, need = (".".join(map(str, pair)) for pair in (found, OLDEST))
        raise ValueError(f"{x.device} has compute capability {have}; gated attention needs {need}")
    return found


def precision(dtype: torch.dtype, width: int) -> str:
    """Return how float32 products are made; 16-bit ones take no notice."""
    return "ieee" if dtype == torch.float32 and width > 64 else "tf32x3"


def walked(blocks: int, programs: int) -> int:
    """Return how many of `blocks` of queries one program of `dk_dv` walks over, if `programs` of them walk
    over all: fewer where too few would run at once, but never fewer than 4. By shape alone, so that sums are
    the same on every GPU.
    """
    parts = max(1, min(-(-ENOUGH // programs), blocks // 4))
    return -(-blocks // parts)


def _fit(block: int, rows: int) -> int:
    while block > 16 and block >= 2 * rows:
        block //= 2
    return block
