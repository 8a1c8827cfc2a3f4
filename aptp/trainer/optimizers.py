"""The optimizers of training, by name, and their moments as named tensors."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from aptp.trainer.recipe import Recipe
from runtime.cli.extras import check_installed

EIGHT_BITS = "adam8bit"  # the extra
_WRAPPED = "__bnb_optimizer_quant_state__"  # where bitsandbytes puts what is not to be cast


def check_optimizer(recipe: Recipe) -> None:
    """Raise EnvironmentMismatch where the library of a recipe's optimizer is missing."""
    if recipe.optimizer != "adamw":
        check_installed(EIGHT_BITS, f"--optimizer {recipe.optimizer}")


def optimizer_of(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that a recipe names. Raises EnvironmentMismatch where its library is missing.

    `adamw8bit` keeps moments in 8 bits, each block of 256 in units of its largest (Dettmers et al. 2022), but
    those of tensors below 4,096 numbers in 32.
    """
    settings: dict[str, Any] = {"betas": recipe.betas, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, recipe.rate, fused=True, **settings)
    check_optimizer(recipe)
    from bitsandbytes.optim import AdamW8bit

    found: torch.optim.Optimizer = AdamW8bit(parameters, recipe.rate, **settings)
    return found


def moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return all that an optimizer remembers, by `<number of the parameter>/<name>`."""
    return {
        f"{number}/{name}": torch.as_tensor(value)
        for number, remembered in optimizer.state_dict()["state"].items()
        for name, value in _flat(remembered).items()
    }


def restore(optimizer: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor]) -> None:
    """Give an optimizer back what `moments` returned."""
    state: dict[int, dict[str, Any]] = {}
    for path, tensor in saved.items():
        number, _, name = path.partition("/")
        counts = name == "step" and not tensor.is_floating_point()  # bitsandbytes counts in Python
        state.setdefault(int(number), {})[name] = int(tensor) if counts else tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(remembered: Mapping[str, Any]) -> dict[str, Any]:
    wrapped = remembered.get(_WRAPPED, {})
    return {**{name: value for name, value in remembered.items() if name != _WRAPPED}, **wrapped}
