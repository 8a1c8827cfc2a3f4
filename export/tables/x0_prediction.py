"""The prediction of the clean latents at every step (docs/BUNDLE.md, "Previews"), for every row of a table.

A row's scaled state is α·x0 + σ·ε of the variance-preserving process, whichever way its scheduler writes
states, and its output says ε, α·ε − σ·x0 or x0: each time, x0 is linear in state and output. Refuses outputs
of another kind, and ε where the state holds no signal.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Scheduler = Any  # a diffusers scheduler; the library ships no types

# By prediction type: x0's coefficients of the scaled state and of the output, from α and σ of every row.
PREDICTIONS: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "epsilon": lambda signal, noise: (1 / signal, -noise / signal),
    "v_prediction": lambda signal, noise: (signal, -noise),
    "sample": lambda signal, noise: (0 * signal, 1 + 0 * signal),
}


def coefficients(made: Scheduler, factors: Sequence[float]) -> Array:
    """Return what every row's x0 takes of its state and of its output, float64 [rows, 2].

    `made` has its timesteps set; `factors` are what turns its states into the model's inputs. Raises
    ArithmeticError.
    """
    kind = str(made.config.prediction_type)
    if kind not in PREDICTIONS:
        raise ArithmeticError(f"what clean latents are, given outputs of type {kind!r}, is not known")
    signal, noise = levels(made)
    if kind == "epsilon" and not signal.all():
        raise ArithmeticError("a row's state holds no signal, and its output says nothing but the noise")
    of_state, of_output = PREDICTIONS[kind](signal, noise)
    return np.stack([np.asarray(factors) * of_state, of_output], axis=1)


def levels(made: Scheduler) -> tuple[Array, Array]:
    """Return α and σ of every row, each float64 [rows]; α² + σ² = 1."""
    count = len(made.timesteps)
    if hasattr(made, "sigmas"):  # σ / α of every row, whose timestep may lie between two of the training
        power = 1 / (1 + np.asarray(made.sigmas, np.float64)[:count] ** 2)
    else:
        power = made.alphas_cumprod[made.timesteps].double().numpy()
    return np.sqrt(power), np.sqrt(1 - power)
