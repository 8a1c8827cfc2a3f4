"""Prompts as they are routed."""

import numpy as np
import torch

from aptp.data.sample import Sample
from aptp.model.encoding import Encoded
from aptp.model.router import Router
from aptp.train.prompts import embeddings, pooled
from tests.aptp.train.spaces import rng


def test_pooling_is_the_served_router_s() -> None:
    hidden = torch.randn(3, 7, 5, generator=rng())
    mask = torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0], [1, 1] + [0] * 5]).bool()
    router = Router(5, 11, 2)
    torch.nn.init.normal_(router.codes, generator=rng(1))
    alone = router(pooled(Encoded(hidden, mask)).unsqueeze(1), torch.ones(3, 1))
    torch.testing.assert_close(router(hidden, mask), alone)


class Numbers:
    def __getitem__(self, position: int) -> Sample:
        return Sample(str(position), np.zeros((1, 1, 3), np.uint8))


def test_a_stream_is_embedded_in_order_from_where_it_starts() -> None:
    def encode(captions: list[str]) -> Encoded:
        assert len(captions) <= 64
        values = torch.tensor([float(caption) for caption in captions])
        return Encoded(values[:, None, None].expand(-1, 2, 3), torch.ones(len(captions), 2).bool())

    found = embeddings(encode, Numbers(), 150, start=10)
    assert found.shape == (150, 3)
    assert found[:, 0].tolist() == list(range(10, 160))
