"""Distances from the teacher, where and how they are measured."""

import pytest
import torch

from aptp.trainer.distillation_losses import block_distances, output_distances, powers, recorded
from tests.geometries import make_inputs, make_unet


@pytest.mark.parametrize(("geometry", "blocks"), [("sd2", 5), ("no_mid", 4)])
@torch.no_grad()
def test_every_down_mid_and_up_block_is_recorded_in_order(geometry: str, blocks: int) -> None:
    unet = make_unet(geometry)
    inputs = make_inputs(unet)
    with recorded(unet) as outputs:
        first = unet(**inputs).sample
        assert len(outputs) == blocks
        unet(**inputs)
        assert len(outputs) == 2 * blocks
    assert all(torch.equal(*pair) for pair in zip(outputs[:blocks], outputs[blocks:], strict=True))
    assert [block.shape[1] for block in outputs[:2]] == [16, 32]
    # The last block's output is what the output layers read.
    out = unet.conv_out(unet.conv_act(unet.conv_norm_out(outputs[blocks - 1])))
    torch.testing.assert_close(out, first)
    with recorded(unet) as again:
        pass
    unet(**inputs)
    assert again == []


def test_recording_stops_when_the_call_fails() -> None:
    unet = make_unet("sd2")
    with pytest.raises(ZeroDivisionError), recorded(unet):
        raise ZeroDivisionError
    assert not any(block._forward_hooks for block in unet.down_blocks)


def blocks(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, c, s, s, generator=generator) * c for c, s in ((2, 4), (5, 2))]


def test_distances_are_mean_squares() -> None:
    student, teacher = blocks(0), blocks(1)
    each = [
        [sum((mine[i] - theirs[i]).square().flatten().tolist()) / mine[i].numel() for i in range(3)]
        for mine, theirs in zip(student, teacher, strict=True)
    ]
    assert output_distances(student[0], teacher[0]).tolist() == pytest.approx(each[0], rel=1e-5)
    mean = [(a + b) / 2 for a, b in zip(*each, strict=True)]
    assert block_distances(student, teacher, None).tolist() == pytest.approx(mean, rel=1e-5)


def test_relative_distances_do_not_depend_on_how_loud_a_block_is() -> None:
    student, teacher, share = blocks(0), blocks(1), torch.full((3,), 1 / 3)
    before = block_distances(student, teacher, powers(teacher, share))
    for part in (student, teacher):
        part[1] = 100 * part[1]
    torch.testing.assert_close(block_distances(student, teacher, powers(teacher, share)), before)
    silent = [torch.zeros_like(block) for block in teacher]
    assert torch.isfinite(block_distances(student, silent, powers(silent, share))).all()


def test_power_is_of_the_rows_that_count() -> None:
    teacher = blocks(0)
    found = powers(teacher, torch.tensor([0.5, 0.0, 0.5]))
    expected = [block[[0, 2]].square().mean().item() for block in teacher]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_power_is_not_rounded_under_autocast() -> None:
    teacher, share = blocks(0), torch.full((3,), 1 / 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = powers(teacher, share)
    assert torch.equal(found, powers(teacher, share))


def test_the_teacher_learns_nothing_and_half_precision_is_measured_in_float32() -> None:
    student, teacher = torch.ones(1, 4, requires_grad=True), torch.zeros(1, 4, requires_grad=True)
    loss = output_distances(student.half() * 300, teacher).sum()
    assert loss.item() == 90_000  # beyond float16
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
