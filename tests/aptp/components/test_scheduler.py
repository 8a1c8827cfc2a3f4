"""Schedulers as diffusers has them for a folder, and those that no bundle can stand in for."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers import StableDiffusionPipeline

from aptp.components.scheduler import FILE, OFFERED, config_in_pipeline, read_scheduler, replaced, said
from runtime.errors import CheckpointError

# diffusers warns of its own code, and of the old configs that this is about.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

WHERE = Path("pipe") / "scheduler" / FILE
# As folders of 2022 have it: no `timestep_spacing`, no `prediction_type`.
OLD: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.7.0",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
OLDER = {name: value for name, value in OLD.items() if name not in ("steps_offset", "clip_sample")}
CONFIGS = {
    "2022": OLD,
    "older": OLDER,
    "DDIM": {**OLDER, "_class_name": "DDIMScheduler"},
    "euler, trailing": {**OLD, "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"},
    "ancestral": {**OLD, "_class_name": "EulerAncestralDiscreteScheduler"},
}


def write(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps(config))
    return folder


def in_a_pipeline(scheduler: Any) -> StableDiffusionPipeline:
    nothing = dict.fromkeys(
        ("vae", "text_encoder", "tokenizer", "unet", "safety_checker", "feature_extractor")
    )
    return StableDiffusionPipeline(**nothing, scheduler=scheduler, requires_safety_checker=False)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", OFFERED)
def test_what_is_stored_gives_the_schedulers_of_the_original(tmp_path: Path, name: str, kind: str) -> None:
    config = CONFIGS[name]
    original = getattr(diffusers, config["_class_name"]).from_pretrained(write(tmp_path / "original", config))
    users = getattr(diffusers, kind).from_config(in_a_pipeline(original).scheduler.config)

    ours = in_a_pipeline(read_scheduler(tmp_path / "original")).scheduler
    stored = json.loads((write(tmp_path / "stored", said(ours)) / FILE).read_text())
    made = getattr(diffusers, kind).from_config(config_in_pipeline(stored, WHERE))
    for scheduler in (users, made):
        scheduler.set_timesteps(7)
    assert made.timesteps.tolist() == users.timesteps.tolist()
    fields = {key: value for key, value in users.config.items() if key[0] != "_"}
    assert {key: made.config[key] for key in fields} == fields


def test_defaults_are_not_stored(tmp_path: Path) -> None:
    stored = said(read_scheduler(write(tmp_path, OLD)))
    assert {**stored, "_diffusers_version": "0.7.0"} == OLD


def test_old_values_are_corrected_as_the_pipeline_does() -> None:
    found = config_in_pipeline(
        {**OLD, "_class_name": "DDIMScheduler", "steps_offset": 0, "clip_sample": True}, WHERE
    )
    assert (found["steps_offset"], found["clip_sample"]) == (1, False)


@pytest.mark.parametrize("name", ["LCMScheduler", "TCDScheduler"])
def test_schedulers_of_distilled_networks(name: str) -> None:
    with pytest.raises(
        CheckpointError, match=f"_class_name is '{name}': its UNet was distilled for a few steps"
    ):
        config_in_pipeline({**OLD, "_class_name": name}, WHERE)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "'FlowMatchEulerDiscreteScheduler'.*schedulers are",
        ),
        ({"_class_name": "EDMEulerScheduler"}, "Stable Diffusion's schedulers are"),
        ({"_class_name": "PNDMSchedular"}, "did you mean 'PNDMScheduler'"),
        ({"_class_name": ["a", "b"]}, r"_class_name is \['a', 'b'\]"),
        ({"_class_name": None}, "_class_name is None"),
        ({"_class_name": "StableDiffusionPipeline"}, "Stable Diffusion's schedulers are"),
        (
            {"prediction_type": "flow_prediction"},
            "prediction_type is 'flow_prediction'; what can be drawn with",
        ),
        ({"prediction_type": ["epsilon"]}, r"prediction_type is \['epsilon'\]"),
        ({"beta_schedule": "cubic"}, "cannot be read as a PNDMScheduler: cubic is not implemented"),
        ({"num_train_timesteps": "many"}, "cannot be read as a PNDMScheduler"),
        ({"beta_start": None}, "cannot be read as a PNDMScheduler"),
    ],
)
def test_a_config_that_says_no_scheduler(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_scheduler(write(tmp_path, {**OLD, **fields}))


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "\udcff"])
def test_a_file_that_is_no_config(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError, match=FILE):
        read_scheduler(tmp_path)


def test_a_scheduler_that_bundles_do_not_offer_is_named() -> None:
    assert replaced(OLD) is None
    told = replaced({**OLD, "_class_name": "EulerAncestralDiscreteScheduler"})
    assert told is not None
    assert "EulerAncestralDiscreteScheduler is none of the solvers that bundles offer" in told
