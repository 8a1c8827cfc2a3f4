"""The table of tiles: complete, sane, and chosen by shape."""

import pytest
import torch

from kernels.attention.tiles import DTYPES, HEAD_DIMS, KERNELS, capability, choose, entry, precision, walked


@pytest.mark.parametrize("found", [(9, 0), (8, 0), (8, 6), (10, 0), (12, 0)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", HEAD_DIMS)
def test_has_an_entry_for_everything(width: int, dtype: torch.dtype, found: tuple[int, int]) -> None:
    for kernel in KERNELS:
        tile = entry(kernel, width, dtype, found)
        for size in (tile.queries, tile.keys, tile.main, tile.warps):
            assert size & (size - 1) == 0  # Triton takes powers of two
        assert tile.queries >= 16
        assert tile.keys >= 16
        assert 2 * tile.main > width  # at most two tiles, none of them empty


@pytest.mark.parametrize(("rows", "block"), [(1, 16), (16, 16), (17, 32), (33, 64), (77, 64), (9216, 64)])
def test_blocks_shrink_to_few_rows(rows: int, block: int) -> None:
    x = torch.empty(1, 1, rows, 64)
    tile = choose("forward", x, x)
    assert (tile.queries, tile.keys) == (block, block)


def test_old_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu:
        is_cuda, device = True, "cuda:0"

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match="cuda:0 has compute capability 7.5; gated attention needs 8.0"):
        capability(OnGpu())  # type: ignore[arg-type]


def test_wide_float32_runs_without_tf32() -> None:
    assert precision(torch.float32, 64) == "tf32x3"
    assert precision(torch.float32, 160) == "ieee"


@pytest.mark.parametrize(
    ("blocks", "programs", "each"),
    [
        (64, 1000, 64),  # enough programs: each walks over all
        (64, 10, 4),  # too few: 16 parts, none under 4 blocks
        (64, 128, 32),
        (3, 1, 3),  # nothing to cut
    ],
)
def test_walks_are_cut_where_programs_are_few(blocks: int, programs: int, each: int) -> None:
    assert walked(blocks, programs) == each
