"""The last rung's oracle: diffusers' own reading of the checkpoint's folder."""

import json
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest

from export.parity import image
from export.tables import solvers
from runtime.errors import IntegrityError
from tests.checkpoints import sign

OLD = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "clip_sample": False,
    "prediction_type": "v_prediction",
}


def draw(checkpoint, solver):
    latents = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)
    return image._diffusers(SimpleNamespace(checkpoint=checkpoint), "0", solver, latents, 2)


# diffusers hands torch tensors to numpy in a way that numpy 2 has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_does_not_take_our_word_for_the_schedule(checkpoint, monkeypatch):
    (checkpoint / "scheduler" / "scheduler_config.json").write_text(json.dumps(OLD))
    index = json.loads((checkpoint / "model_index.json").read_text())
    (checkpoint / "model_index.json").write_text(
        json.dumps({**index, "scheduler": ["diffusers", "PNDMScheduler"]})
    )
    sign(checkpoint)
    monkeypatch.delattr(solvers, "scheduler")
    seen = {}
    for kind in ("PNDMScheduler", "EulerDiscreteScheduler"):
        plain = getattr(diffusers, kind).set_timesteps

        def spy(self, *args, plain=plain, kind=kind, **more):
            plain(self, *args, **more)
            seen[kind] = (self.config.timestep_spacing, self.config.skip_prk_steps)

        monkeypatch.setattr(getattr(diffusers, kind), "set_timesteps", spy)
    drawn = {solver: draw(checkpoint, solver) for solver in ("pndm", "euler")}
    assert all((picture.shape, picture.dtype) == ((16, 16, 3), np.uint8) for picture in drawn.values())
    assert seen == {"PNDMScheduler": ("leading", True), "EulerDiscreteScheduler": ("linspace", True)}


def test_it_reads_no_file_that_was_changed(checkpoint):
    (checkpoint / "scheduler" / "scheduler_config.json").write_text(json.dumps(OLD))
    with pytest.raises(IntegrityError, match="scheduler_config"):
        draw(checkpoint, "ddim")
