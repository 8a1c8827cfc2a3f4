"""Start noise that every language reproduces bit for bit (docs/BUNDLE.md, "Start noise").

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) and Box-Muller in float64,
with logarithm, sine and cosine from operations that IEEE 754 rounds exactly: those of libm differ.
"""

import math

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]  # 32-bit words, kept in 64 bits so that products do not overflow

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_LN2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476
_HALF_PI = 1.5707963267948966


def normal(seed: int, shape: tuple[int, ...], stream: int = 0) -> npt.NDArray[np.float32]:
    """Draw standard normal noise, float32. `seed` is from 0 to 2^64 - 1; values fill `shape` in C order.

    The first values do not depend on how many follow.
    """
    count = math.prod(shape)
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    zeros = np.zeros_like(blocks)
    words = philox((blocks, zeros, zeros + np.uint64(stream), zeros), (seed & 0xFFFFFFFF, seed >> 32))
    u0, u1, u2, u3 = ((word.astype(np.float64) + 0.5) * 2.0**-32 for word in words)
    values = np.stack([*_box_muller(u0, u1), *_box_muller(u2, u3)], axis=-1)  # [blocks, 4]
    return values.reshape(-1)[:count].astype(np.float32).reshape(shape)


def philox(
    counter: tuple[Words, Words, Words, Words], key: tuple[int, int]
) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10 of many counters under one key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def _box_muller(u: Float64, v: Float64) -> tuple[Float64, Float64]:
    radius = np.sqrt(-2.0 * log(u))
    cosine, sine = cos_sin(v)
    return radius * cosine, radius * sine


def log(u: Float64) -> Float64:
    """Natural logarithm of u > 0, from exactly rounded operations in the order the format gives."""
    fraction, exponent = np.frexp(u)
    low = fraction < _SQRT_HALF
    fraction = np.where(low, fraction * 2.0, fraction)
    exponent = np.where(low, exponent - 1, exponent).astype(np.float64)
    t = (fraction - 1.0) / (fraction + 1.0)
    q = _horner(t * t, [1.0 / odd for odd in range(21, 0, -2)])
    return (2.0 * t) * q + exponent * _LN2


def cos_sin(v: Float64) -> tuple[Float64, Float64]:
    """Cosine and sine of 2πv for 0 <= v < 1, likewise."""
    quadrant = np.floor(4.0 * v + 0.5)
    y = (4.0 * v - quadrant) * _HALF_PI
    z = y * y
    sine = y * _horner(z, _alternating(19))
    cosine = _horner(z, _alternating(18))
    which = quadrant.astype(np.int64) % 4
    return (
        np.choose(which, [cosine, -sine, -cosine, sine]),
        np.choose(which, [sine, cosine, -sine, -cosine]),
    )


def _alternating(first: int) -> list[float]:
    # Ten terms of a Taylor series, highest power first; the constant term is +1.
    factorials = range(first, -1, -2)
    return [(-1.0) ** (n // 2) / math.factorial(n) for n in factorials]


def _horner(x: Float64, coefficients: list[float]) -> Float64:
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result
