"""A pipeline's scheduler: as its folder says it, and as diffusers gives it to the pipeline.

A config of 2022 names few fields. diffusers remembers the fields that were left out, so that a scheduler of
another class made from it takes its own defaults for them (`timestep_spacing`, above all). So we store what
the folder said, without defaults, and read it through the folder's own class and pipeline.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
from diffusers import StableDiffusionPipeline
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

from aptp.components.boundary import reading
from aptp.components.config_file import read_config
from runtime.errors import CheckpointError, nearest

FILE = "scheduler_config.json"
DEFAULTS = "_use_default_values"  # diffusers' list of the fields that a config left out
# All describe the same noising, and any of them draws with the same UNet. EDM's writes states in another way.
KNOWN = frozenset(kind.name for kind in KarrasDiffusionSchedulers) - {"EDMEulerScheduler"}
# Of UNets that were distilled for few steps, between which the scheduler adds noise.
CONSISTENCY = ("LCMScheduler", "TCDScheduler")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
# What a bundle's solvers are; ARCHITECTURE.md says why these.
OFFERED = (
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)


def read_scheduler(folder: Path) -> Any:
    """Read the scheduler in a pipeline's `folder`, an object of its own class. Raises CheckpointError."""
    return scheduler_of(read_config(folder / FILE), folder / FILE)


def scheduler_of(config: Mapping[str, Any], where: Path) -> Any:
    """Make the scheduler of a `config`, which came from the file `where`. Raises CheckpointError, by the
    field.
    """
    name = config.get("_class_name")
    if name in CONSISTENCY:
        raise CheckpointError(
            f"{where}: _class_name is {name!r}: its UNet was distilled for a few steps with noise between "
            "them, which no schedule of a bundle can hold. Give the pipeline that it was distilled from; or, "
            "where the UNet is an ordinary one, write 'DDIMScheduler' there and in model_index.json"
        )
    if not isinstance(name, str) or name not in KNOWN:
        hint = nearest(name, KNOWN) if isinstance(name, str) else ""
        raise CheckpointError(
            f"{where}: _class_name is {name!r}{hint}; Stable Diffusion's schedulers are "
            f"{', '.join(sorted(KNOWN))}"
        )
    with warnings.catch_warnings(), reading(f"{where} cannot be read as a {name}"):
        warnings.simplefilter("ignore")  # of diffusers about its own code and old configs
        made = getattr(diffusers, name).from_config(dict(config))
        prediction = made.config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise CheckpointError(
            f"{where}: prediction_type is {prediction!r}; what can be drawn with is {', '.join(PREDICTIONS)}"
        )
    return made


def config_in_pipeline(config: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Return the config as a pipeline of this folder has it: defaults filled in and listed, and
    old values (`steps_offset`, `clip_sample`) corrected as diffusers corrects them.

    `from_config` of any scheduler class takes it as diffusers' users do. Raises CheckpointError.
    """
    made = scheduler_of(config, where)
    absent = ("vae", "text_encoder", "tokenizer", "unet", "safety_checker", "feature_extractor")
    with warnings.catch_warnings(), reading(f"{where} does not fit a pipeline"):
        warnings.simplefilter("ignore")  # diffusers tells of its corrections, and nobody has to act on them
        pipeline = StableDiffusionPipeline(
            **dict.fromkeys(absent), scheduler=made, requires_safety_checker=False
        )
    return dict(pipeline.scheduler.config)


def said(scheduler: Any) -> dict[str, Any]:
    """Return what a scheduler was told, without the defaults of its class, to be stored as its config."""
    config = dict(scheduler.config)
    defaults = config.pop(DEFAULTS, ())
    return {
        "_class_name": type(scheduler).__name__,
        "_diffusers_version": diffusers.__version__,
        **{name: value for name, value in config.items() if name not in defaults and name[0] != "_"},
    }


def replaced(config: Mapping[str, Any]) -> str | None:
    """Return what to tell of a scheduler that no bundle offers; None where it does."""
    name = str(config.get("_class_name"))
    if name in OFFERED:
        return None
    return (
        f"the pipeline's own {name} is none of the solvers that bundles offer, which draw other images with "
        "the same UNet; choose among them with export.build --solvers"
    )
