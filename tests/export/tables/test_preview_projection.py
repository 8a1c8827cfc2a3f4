"""The fit behind previews, on decoders whose colours are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from export.tables import preview_projection
from runtime.errors import OutputError


class Plain(torch.nn.Module):
    """Stands in for a VAE of three channels: two by two pixels of one colour each, mixed, scaled, shifted.

    `bent` is how far its decoder is from linear.
    """

    config = SimpleNamespace(scaling_factor=0.5, shift_factor=0.25)
    matrix = torch.tensor([[0.5, -0.25, 0.0], [0.0, 0.125, 0.75], [-1.0, 0.0, 0.5]])

    def __init__(self, bent: float = 0.0) -> None:
        super().__init__()
        self.bent = bent

    def encode(self, pictures: torch.Tensor) -> Any:
        mean = torch.einsum("ck,nkhw->nchw", self.matrix.inverse(), functional.avg_pool2d(pictures, 2))
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean))

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        plane = torch.einsum("kc,nchw->nkhw", self.matrix, latents)
        return (functional.interpolate(plane + self.bent * plane**3, scale_factor=2),)


def test_a_linear_decoder_is_found_as_it_is() -> None:
    vae: Any = Plain()
    latents = preview_projection.encoded(vae, scale=2)
    found = preview_projection.fit(vae, latents)
    matrix = vae.matrix.numpy()
    wanted = np.append(matrix / 0.5, 0.25 * matrix.sum(1, keepdims=True), axis=1)
    assert found.rows == pytest.approx(wanted, abs=1e-4)
    assert found.rows == np.round(found.rows, 4).tolist()
    assert found.explained == pytest.approx(1)


def test_a_vae_gives_back_what_was_made_up() -> None:
    vae: Any = Plain()
    latents = preview_projection.encoded(vae, scale=2)
    assert latents.shape == (
        2 * preview_projection.COUNT,
        3,
        preview_projection.SIDE,
        preview_projection.SIDE,
    )
    decoded = vae.decode(latents / 0.5 + 0.25, return_dict=False)[0]
    assert torch.allclose(decoded, preview_projection.pictures(2 * preview_projection.SIDE), atol=1e-5)


def test_what_is_not_linear_is_explained_in_part() -> None:
    vae: Any = Plain(bent=5.0)
    assert 0.5 < preview_projection.fit(vae, preview_projection.encoded(vae, scale=2)).explained < 0.99


def test_pictures_have_one_colour_or_four() -> None:
    found = preview_projection.pictures(16)
    assert (found.min() >= -1) & (found.max() <= 1)
    counts = [len(picture.flatten(1).unique(dim=1).T) for picture in found]
    assert counts == [1] * preview_projection.COUNT + [4] * preview_projection.COUNT
    assert torch.equal(found, preview_projection.pictures(16))


@pytest.mark.parametrize("broken", ["encoder", "decoder"])
def test_what_is_not_finite_fits_nothing(broken: str) -> None:
    vae: Any = Plain(bent=float("nan"))
    if broken == "encoder":
        vae.matrix = vae.matrix * float("nan")
    with pytest.raises(OutputError, match=f"the VAE's {broken}: .* not finite"):
        preview_projection.fit(vae, preview_projection.encoded(vae, scale=2))
