"""Encoders: the preprocessing of each to the bit, what they make of pictures, and files that are none."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from PIL import Image

from aptp.score.alignment import clip_scores
from aptp.score.encoders import Clip, ClipCaptions, ClipPictures
from aptp.score.inception import Inception, read_inception
from aptp.score.preprocessing import bilinear, centre_square, published_resize, short_side
from runtime.errors import EncoderError
from tests.aptp.score.made_up import captions, inception_state, pictures, write_clip


def ramp(width, height):
    y, x = np.mgrid[:height, :width]
    channels = [(x * 37 + y * 11) % 256, (x * y) % 256, (x + 5 * y) % 256]
    return Image.fromarray(np.stack(channels, 2).astype(np.uint8))


def test_bilinear_is_that_of_clean_fid():
    """Values that clean-fid 0.1.35 gave of the same picture with `build_resizer("legacy_pytorch")`."""
    found = bilinear(ramp(24, 20), 299)
    assert found.shape == (3, 299, 299)
    assert found.dtype == np.float32
    assert found[:, 0, 0].tolist() == [0.0, 0.0, 0.0]
    some = found[:, [3, 100, 150, 298], [280, 17, 149, 298]].T
    assert some.ravel().tolist() == pytest.approx(sum(FROZEN_BILINEAR, []), abs=1e-4)


def test_the_papers_resize_is_that_of_opencv():
    """768 to 256 pixels takes every third pixel from the second on, which OpenCV does exactly."""
    image = ramp(768, 768)
    assert np.array_equal(published_resize(image, 256), np.asarray(image)[1::3, 1::3])
    assert np.asarray(published_resize(ramp(64, 64), 32))[3, 4].tolist() == FROZEN_HALF


def test_short_side_is_that_of_clip():
    found = short_side(ramp(60, 45), 32)
    assert found.shape == (3, 32, 32)
    resized = ramp(60, 45).resize((42, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(found, np.asarray(resized)[:, 5:37].transpose(2, 0, 1))
    assert found[:, 7, 9].tolist() == FROZEN_SHORT


def test_centre_square_is_that_of_cmmd():
    found = centre_square(ramp(60, 45), 32)
    square = ramp(60, 45).crop((7, 0, 52, 45)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(found, np.asarray(square).transpose(2, 0, 1))
    assert found[:, 7, 9].tolist() == FROZEN_SQUARE


FROZEN_BILINEAR = [
    [46.556812, 0.0, 22.015049],
    [101.919731, 5.629302, 32.01672],
    [74.174011, 110.019218, 59.334442],
    [36.0, 181.0, 118.0],
]
FROZEN_HALF = [130, 55, 41]
FROZEN_SHORT = [90, 203, 70]
FROZEN_SQUARE = [75, 199, 70]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "pt.pth"
    state = inception_state()
    torch.save(state, path)
    return path, state


def test_inception_is_fids(weights):
    """Features that pytorch-fid 0.3.0's `InceptionV3`, under these weights, gave of the same picture."""
    network = read_inception(weights[0])
    with torch.inference_mode():
        found = network(torch.from_numpy(bilinear(ramp(24, 20), 299))[None])
    assert found.shape == (1, 2048)
    assert found[0, [0, 1, 320, 700, 1100, 1500, 2047]].tolist() == pytest.approx(FROZEN_INCEPTION, rel=1e-3)
    assert float(found.double().mean()) == pytest.approx(FROZEN_MEAN, rel=1e-4)


FROZEN_INCEPTION = [0.658191, 0.220227, 0.0, 0.0968697, 1.88279, 0.21389, 1.24885]
FROZEN_MEAN = 0.892736


def test_files_that_are_not_fids_network(weights, tmp_path):
    state = dict(weights[1])
    del state["Mixed_7c.branch_pool.conv.weight"]
    state["more"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(EncoderError, match=r"1 tensors are missing or of another shape, and 1 are not known"):
        read_inception(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(EncoderError, match="is not FID's network"):
        read_inception(tmp_path / "list.pth")


class Evil:
    def __reduce__(self):
        return exec, ("raise AssertionError('code of a file was run')",)


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"weights": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.pth").write_text("no")
    for name in ("evil.pth", "text.pth", "missing.pth"):
        with pytest.raises(EncoderError, match="cannot be read as weights"):
            read_inception(tmp_path / name)


def test_there_are_four_changed_blocks():
    """Padding counts nowhere in an average, so a constant stays one; the last block pools the maximum."""
    network = Inception()
    constant = torch.ones(1, 4, 5, 5)
    assert torch.equal(network.Mixed_5b._step("average", constant), constant)
    steps = {
        name: [path[0] for path in block._paths if path[0] in ("average", "maximum", "reduce")]
        for name, block in network.named_children()
        if name.startswith("Mixed")
    }
    assert steps.pop("Mixed_7c") == ["maximum"]
    assert [steps.pop(name) for name in ("Mixed_6a", "Mixed_7a")] == [["reduce"], ["reduce"]]
    assert set(map(tuple, steps.values())) == {("average",)}
    assert len(steps) == 8


@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is None, reason="torchmetrics is in extra `dev`")
def test_torchmetrics_agrees_on_the_clip_score(clip, clip_folder):
    from torchmetrics.multimodal.clip_score import CLIPScore
    from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    class Plain(CLIPModel):
        """torchmetrics 1.9 takes features as transformers 4 gave them."""

        def get_image_features(self, *args, **kwargs):
            return super().get_image_features(*args, **kwargs).pooler_output

        def get_text_features(self, *args, **kwargs):
            return super().get_text_features(*args, **kwargs).pooler_output

    def made():
        sides = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
        return Plain.from_pretrained(clip_folder).eval(), CLIPProcessor(
            CLIPImageProcessor(**sides), tokenizer
        )

    drawn, texts = pictures(6), captions(6)
    oracle = CLIPScore(made)
    oracle.update([torch.from_numpy(each.copy()).permute(2, 0, 1) for each in drawn], texts)
    encoder, reader = ClipPictures(clip), ClipCaptions(clip)
    found = encoder.encode([encoder.prepare(Image.fromarray(each)) for each in drawn])
    scores = clip_scores(found, reader.encode(texts))
    assert scores.mean() == pytest.approx(float(oracle.compute()), rel=1e-4)


def test_negative_scores_are_kept():
    assert clip_scores(np.array([[1.0, 0], [3, 4]]), np.array([[-2.0, 0], [3, 4]])).tolist() == [-100, 100]


def test_a_caption_scores_the_same_in_any_company(clip):
    reader = ClipCaptions(clip)
    short, long = "a red circle", "a blue star, " * 60
    assert reader.encode([short, long])[0] == pytest.approx(reader.encode([short])[0], abs=1e-5)


def test_folders_that_hold_no_clip(clip_folder, tmp_path):
    with pytest.raises(EncoderError, match=r"config.json cannot be read \(No such file"):
        Clip.read(tmp_path, torch.device("cpu"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(EncoderError, match="a model of type 'bert', and no whole CLIP"):
        Clip.read(tmp_path, torch.device("cpu"))
    (tmp_path / "config.json").write_text((clip_folder / "config.json").read_text())
    with pytest.raises(EncoderError, match="cannot be read as a CLIP model"):
        Clip.read(tmp_path, torch.device("cpu"))


def test_a_clip_without_its_tokenizer(tmp_path):
    folder = write_clip(tmp_path / "clip")
    for path in folder.glob("*"):
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    with pytest.raises(EncoderError, match="tokenizer"):
        ClipCaptions(Clip.read(folder, torch.device("cpu")))
