"""Pretraining from nothing to a pipeline, in a few steps, in one session and in many."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aptp.pipeline import read_pipeline
from aptp.pretrain import codec, denoiser, pipeline, text
from aptp.pretrain.pipeline import pretrain
from aptp.trainer import provenance
from aptp.trainer.loop import RunOptions
from runtime.errors import UsageError

UNET = replace(denoiser.RECIPE, steps=3, batch=2)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(codec, "RECIPE", replace(codec.RECIPE, steps=2, batch=2))
    monkeypatch.setattr(text, "RECIPE", replace(text.RECIPE, steps=2, batch=2))
    monkeypatch.setattr(pipeline, "MEASURED", 2)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_legs_of_one_step_make_the_same_pipeline_as_one(tmp_path):
    assert pretrain("tiny", tmp_path / "one", tmp_path / "one.run", RunOptions(), UNET)
    sessions = 1
    while not pretrain("tiny", tmp_path / "many", tmp_path / "many.run", RunOptions(minutes=0), UNET):
        assert not (tmp_path / "many").exists()
        sessions += 1
    assert sessions == 7 - 2  # a stage's last step and the next stage's first share a session
    one, many = files(tmp_path / "one"), files(tmp_path / "many")
    assert one.keys() == many.keys()
    assert [name for name in one if one[name] != many[name]] == [provenance.NAME]  # it tells the wall time


def test_the_pipeline_draws_finite_pictures_of_its_size(tmp_path):
    pretrain("tiny", tmp_path / "made", tmp_path / "run", RunOptions(), UNET)
    made = read_pipeline(tmp_path / "made", torch.float32)
    made.set_progress_bar_config(disable=True)
    assert made.vae.config.scaling_factor != 0.18215
    (image,) = made("a red circle", num_inference_steps=2, output_type="np").images
    assert image.shape == (64, 64, 3)
    assert np.isfinite(image).all()


def test_latents_have_unit_scale(tmp_path):
    pretrain("tiny", tmp_path / "made", tmp_path / "run", RunOptions(), UNET)
    vae = read_pipeline(tmp_path / "made", torch.float32).vae
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = vae.encode(images).latent_dist.mean * vae.config.scaling_factor
    assert 0.1 < latents.std() < 10


@pytest.mark.parametrize("preset", ["sd21", "tinny"])
def test_other_presets_are_refused_by_name(tmp_path, preset):
    with pytest.raises(UsageError, match=f"'{preset}'"):
        pretrain(preset, tmp_path / "made", tmp_path / "run", RunOptions(), UNET)


def test_an_occupied_target_is_refused_before_hours_are_spent(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        pretrain("tiny", tmp_path, tmp_path / "run", RunOptions(), UNET)
    assert not (tmp_path / "run").exists()
