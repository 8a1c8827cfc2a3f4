"""A physically smaller UNet that saves, reloads and runs by itself.

Its config is the dense UNet's plus the architecture, so a folder with `config.json` and safetensors is all
it needs. It is a UNet2DConditionModel: `StableDiffusionPipeline` takes it as it is.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel

from aptp.model.slicer import shrink, sliced_state
from aptp.space.architecture import Architecture
from aptp.space.discover import discover
from runtime.errors import CheckpointError, SpaceError


class SlicedUNet(UNet2DConditionModel):  # type: ignore[misc]
    """UNet2DConditionModel(**dense) sliced to `architecture`.

    `architecture`: the JSON form of an Architecture, with the number of feed-forward gates of its space.
    Raises SpaceError if it does not fit the dense geometry.
    """

    def __init__(self, *, architecture: Mapping[str, Any], **dense: Any) -> None:
        super().__init__(**dense)
        depth = list(architecture.get("depths", ()))
        space = discover(self, depth=depth, feed_forward_gates=architecture.get("feed_forward_gates", 32))
        self.architecture = Architecture.from_json(space, architecture)
        shrink(self, self.architecture)
        self.register_to_config(architecture=dict(architecture))

    @classmethod
    def from_pretrained(cls, path: Any, **options: Any) -> "SlicedUNet":
        """Load as diffusers does, but refuse weights that do not fit instead of leaving them random
        (CheckpointError).
        """
        try:
            model, report = super().from_pretrained(path, output_loading_info=True, **options)
        except (SpaceError, ValueError, RuntimeError, TypeError, OSError) as error:
            raise CheckpointError(f"{path}: cannot load the sliced UNet: {error}") from error
        for problem, names in report.items():
            if names:
                raise CheckpointError(f"{path}: {problem.replace('_', ' ')}: {sorted(map(str, names))[:3]}")
        return model  # type: ignore[no-any-return]


# diffusers reads a class's config keys off its constructor; ours are the dense UNet's and one more.
_dense = inspect.signature(UNet2DConditionModel.__init__)
SlicedUNet.__init__.__signature__ = _dense.replace(  # type: ignore[attr-defined]
    parameters=[
        *_dense.parameters.values(),
        inspect.Parameter("architecture", inspect.Parameter.KEYWORD_ONLY),
    ]
)


def slice_unet(unet: UNet2DConditionModel, architecture: Architecture) -> SlicedUNet:
    """Return a sliced copy of `unet`, which is left as it is. Same dtype and device; no storage is shared."""
    sliced = sliced_from(unet.config, architecture, sliced_state(unet.state_dict(), architecture))
    for name, parameter in sliced.named_parameters():
        parameter.requires_grad_(unet.get_parameter(name).requires_grad)
    sliced.train(unet.training)
    return sliced


def sliced_from(
    dense: Mapping[str, Any], architecture: Architecture, state: Mapping[str, torch.Tensor]
) -> SlicedUNet:
    """Return the UNet that takes the tensors of `state` as they are; `dense`: the dense UNet's config."""
    config = {name: value for name, value in dense.items() if not name.startswith("_")}
    with init_empty_weights():
        sliced = SlicedUNet(architecture=config_of(architecture), **config)
    sliced.load_state_dict(state, assign=True)
    return sliced


def config_of(architecture: Architecture) -> dict[str, Any]:
    """Return the `architecture` entry of a sliced UNet's config."""
    return {**architecture.to_json(), "feed_forward_gates": architecture.space.feed_forward_gates}


def gates_of(architecture: Architecture, batch: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the architecture as gates [batch, D] for a GatedUNet."""
    return torch.from_numpy(architecture.keep).to(dtype).expand(batch, -1)
