"""`router.safetensors`: a router's tensors, of the kind that the index names."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aptp.model.gated_router import GatedRouter
from aptp.model.router import Router
from aptp.space.groups import Space
from runtime.errors import CheckpointError

NAME = "router.safetensors"


def read_router(folder: Path, kind: str, space: Space, codes: int) -> Router:
    """Read the router of a checkpoint of so many `codes`, float32, in eval mode. Raises CheckpointError."""
    try:
        state = load_file(folder / NAME)
        size, width = state["predictor.weight"].shape
        count = state["codes"].shape[0]
        router = GatedRouter(width, space, count) if kind == GatedRouter.kind else Router(width, size, count)
        router.load_state_dict(state)
        router.check()
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder / NAME} does not hold a {kind} router: {error}") from error
    if count != codes:
        raise CheckpointError(f"{folder / NAME} has {count} codes, aptp.json {codes}")
    return router.eval()


def write_router(router: Router, folder: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in router.state_dict().items()}
    save_file(state, folder / NAME)
