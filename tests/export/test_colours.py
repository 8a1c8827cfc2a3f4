"""The fit behind previews, on decoders whose colours are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from export import colours


class Linear(torch.nn.Module):
    """Stands in for a decoder: every latent becomes two by two pixels of one colour, shifted and `bent`."""

    def __init__(self, bent: float = 0.0) -> None:
        super().__init__()
        self.matrix = torch.tensor([[0.5, -0.25, 0.0, 1.0], [0.0, 0.125, 0.75, 0.0], [-1.0, 0.0, 0.5, 0.25]])
        self.bent = bent

    @property
    def config(self) -> Any:
        return type("Config", (), {"latent_channels": 4, "scaling_factor": 0.5, "shift_factor": 0.25})

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        plane = torch.einsum("kc,nchw->nkhw", self.matrix, latents)
        return (functional.interpolate(plane + self.bent * plane**3, scale_factor=2),)


def test_a_linear_decoder_is_found_as_it_is() -> None:
    found = colours.fit(Linear())  # type: ignore[arg-type]
    matrix = Linear().matrix.numpy()
    wanted = np.append(matrix / 0.5, 0.25 * matrix.sum(1, keepdims=True), axis=1)
    assert found.rows == pytest.approx(wanted, abs=1e-4)
    assert found.rows == np.round(found.rows, 4).tolist()
    assert found.explained == pytest.approx(1)


def test_what_is_not_linear_is_explained_in_part() -> None:
    assert 0.5 < colours.fit(Linear(bent=0.3)).explained < 0.99  # type: ignore[arg-type]


def test_latents_are_smooth_and_of_unit_variance() -> None:
    latents = colours.smooth_latents(4)
    assert latents.dtype == torch.float32
    assert latents.std(dim=(0, 2, 3)) == pytest.approx(torch.ones(4), abs=1e-3)
    jumps = (latents[..., 1:] - latents[..., :-1]).std()
    assert jumps < 0.3  # of white noise, 1.4
    assert torch.equal(latents, colours.smooth_latents(4))
