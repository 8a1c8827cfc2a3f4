"""The rows of one head, [rows, D], as tiles that the matrix units take.

Tiles are powers of two wide and head dims are not: D = 80 is held as 64 + 16 columns, D = 160 as 128 + 32,
because padded to 128 and 256 they would cost 1.6 times the products, shared memory and registers. Whatever
is D wide is therefore a tuple of one tile (MAIN ≥ D, columns from D on are zeros) or of two. `tiles.py`
chooses MAIN; nothing here knows what a row means.
"""

import triton
import triton.language as tl


@triton.constexpr_function
def rest_of(D, MAIN):
    """Width of the second tile, 0 for none. The matrix units take no fewer than 16 columns."""
    return 0 if MAIN >= D else max(16, triton.next_power_of_2(D - MAIN))


@triton.jit
def load_rows(head, rows, stride, limit, MASKED: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr):
    """`rows` of `head`, which lie `stride` elements apart. If MASKED, rows from `limit` on are not
    read: they are zeros.
    """
    REST: tl.constexpr = rest_of(D, MAIN)
    main = _load_tile(head, rows, stride, limit, MASKED, D, 0, MAIN)
    if REST == 0:
        return (main,)
    else:
        return (main, _load_tile(head, rows, stride, limit, MASKED, D, MAIN, REST))


@triton.jit
def store_rows(head, rows, stride, limit, tiles, D: tl.constexpr, MAIN: tl.constexpr):
    """Write `tiles` to `rows` of `head`, in its dtype; rows from `limit` on are left alone."""
    REST: tl.constexpr = rest_of(D, MAIN)
    _store_tile(head, rows, stride, limit, tiles[0], D, 0, MAIN)
    if REST > 0:
        _store_tile(head, rows, stride, limit, tiles[1], D, MAIN, REST)


@triton.jit
def zero_rows(ROWS: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr):
    """Zeros to sum into, float32."""
    REST: tl.constexpr = rest_of(D, MAIN)
    main = tl.zeros([ROWS, MAIN], tl.float32)
    if REST == 0:
        return (main,)
    else:
        return (main, tl.zeros([ROWS, REST], tl.float32))


@triton.jit
def scale_rows(tiles, factor):
    """`tiles` times `factor`, which broadcasts over columns."""
    if len(tiles) == 1:
        return (tiles[0] * factor,)
    else:
        return (tiles[0] * factor, tiles[1] * factor)


@triton.jit
def keep_rows(tiles, live):
    """`tiles` where `live` [rows, 1], zeros elsewhere, whatever stood there."""
    if len(tiles) == 1:
        return (tl.where(live, tiles[0], 0.0),)
    else:
        return (tl.where(live, tiles[0], 0.0), tl.where(live, tiles[1], 0.0))


@triton.jit
def sum_of_products(a, b):
    """Σ a ∘ b over rows and columns, as one value per row, float32."""
    total = tl.sum(a[0].to(tl.float32) * b[0].to(tl.float32), 1)
    if len(a) > 1:
        total += tl.sum(a[1].to(tl.float32) * b[1].to(tl.float32), 1)
    return total


@triton.jit
def inner(a, b, PRECISION: tl.constexpr):
    """Return a bᵀ, float32 [rows of a, rows of b]."""
    product = tl.dot(a[0], tl.trans(b[0]), input_precision=PRECISION)
    if len(a) > 1:
        product = tl.dot(a[1], tl.trans(b[1]), product, input_precision=PRECISION)
    return product


@triton.jit
def add_mixed(total, weights, tiles, PRECISION: tl.constexpr):
    """total + weights · tiles, float32; `weights` [rows of total, rows of tiles] take the tiles' dtype."""
    w = weights.to(tiles[0].dtype)
    main = tl.dot(w, tiles[0], total[0], input_precision=PRECISION)
    if len(tiles) == 1:
        return (main,)
    else:
        return (main, tl.dot(w, tiles[1], total[1], input_precision=PRECISION))


@triton.jit
def _load_tile(
    head, rows, stride, limit, MASKED: tl.constexpr, D: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr
):
    columns = FIRST + tl.arange(0, WIDTH)
    places = head + rows[:, None] * stride + columns[None, :]
    if FIRST + WIDTH > D:
        inside = columns[None, :] < D
        if MASKED:
            inside = inside & (rows[:, None] < limit)
        return tl.load(places, mask=inside, other=0.0)
    elif MASKED:
        return tl.load(places, mask=rows[:, None] < limit, other=0.0)
    else:
        return tl.load(places)


@triton.jit
def _store_tile(head, rows, stride, limit, tile, D: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr):
    columns = FIRST + tl.arange(0, WIDTH)
    inside = rows[:, None] < limit
    if FIRST + WIDTH > D:
        inside = inside & (columns[None, :] < D)
    places = head + rows[:, None] * stride + columns[None, :]
    tl.store(places, tile.to(head.dtype.element_ty), mask=inside)
