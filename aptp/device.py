"""The device that networks run on: an option of commands."""

import argparse
from typing import TYPE_CHECKING

from runtime.errors import UsageError

if TYPE_CHECKING:
    import torch


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device` to `parser`."""
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, … (default: the GPU where there is one)"
    )


def choose_device(name: str | None) -> "torch.device":
    """Return the device of this name, or the best of this machine. Raises UsageError where it is not here."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add(1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UsageError(
            f"--device {name}: cannot be used here ({reason}); give cpu, cuda or cuda:N"
        ) from error
    return device
