"""The attentions of SD 2.1, and lower bounds of their cost.

The shapes are a table, so that the machine with the GPU needs nothing but torch and Triton; a test reads them
off the UNet's module tree. Floors hold for any kernel that gives a block of queries of one head to a
multiprocessor: every operation at the rate of a large matrix product, on the multiprocessor that is given
most blocks (how many fit on one at once changes nothing: they share its rate); every byte at the rate of a
large copy; and the time of a kernel that does nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Shape:
    """One attention: `heads` of `width`, `queries` by `keys`."""

    queries: int
    keys: int
    heads: int
    width: int

    def __str__(self) -> str:
        return f"{self.queries} x {self.keys}, {self.heads} heads of {self.width}"

    def operations(self, batch: int, live: float, *, backward: bool = False) -> float:
        """Count the operations of the products alone, two for each multiply-accumulate. The gradients' five
        products, of which one is the logits again, are 2.5 times the two of the forward pass.
        """
        forward = 4 * batch * self.heads * live * self.queries * self.keys * self.width
        return forward * 2.5 if backward else forward

    def traffic(self, batch: int, live: float, *, backward: bool = False, size: int = 2) -> float:
        """Return bytes: live inputs read once, every output written once, zeros of closed heads included."""
        per_head = batch * self.heads * self.width * size
        queries, keys = per_head * self.queries, 2 * per_head * self.keys
        if backward:  # reads q, out, grad, k, v; writes dq, dk, dv
            return live * (3 * queries + keys) + queries + keys
        return live * (queries + keys) + queries


TOKENS = 77
LEVELS = (
    (1, 5, 5),
    (2, 10, 5),
    (4, 20, 5),
    (8, 20, 1),
)  # of the UNet: side divided by, heads, blocks of either
WIDTH = 64
SHARES = {512: 0.157, 768: 0.292}  # of all multiply-accumulates of the UNet, those in attention's products
SIZES = tuple(SHARES)  # pixels


def attentions(size: int) -> dict[Shape, int]:
    """Return how often each shape occurs in SD 2.1 at `size` pixels."""
    rows = {(size // 8 // divisor) ** 2: (heads, count) for divisor, heads, count in LEVELS}
    return {
        Shape(queries, keys, heads, WIDTH): count
        for queries, (heads, count) in rows.items()
        for keys in (queries, TOKENS)
    }


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A GPU's peak: operations and bytes per second, and seconds for a kernel that does nothing."""

    operations: float
    bytes: float
    launch: float
    multiprocessors: int

    def floor(self, shape: Shape, batch: int, live: float, *, backward: bool, block: int | None) -> float:
        """Seconds, for a kernel in blocks of `block` queries; None: for one that is cut as it likes."""
        work = shape.operations(batch, live, backward=backward) / self.operations
        if block is not None:
            blocks = -(-shape.queries // block) * max(1, round(batch * shape.heads * live))
            work *= -(-blocks // self.multiprocessors) / (blocks / self.multiprocessors)
        return self.launch + max(work, shape.traffic(batch, live, backward=backward) / self.bytes)
