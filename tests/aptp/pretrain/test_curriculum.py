"""The curriculum: the plain stream first, other shares from a position on, and no memory of who asked."""

from aptp.data.scenes.source import Scenes
from aptp.pretrain.curriculum import PHASES, Curriculum


def test_the_first_phase_is_the_plain_stream():
    curriculum, plain = Curriculum(seed=3), Scenes(seed=3)
    assert [curriculum[i].caption for i in range(20)] == [plain[i].caption for i in range(20)]


def test_shares_change_at_a_position_whoever_asks_first():
    phases = [(0, {"single": 1.0}), (4, {"word": 1.0})]
    tiers = [Curriculum(phases=phases)[i].metadata["scene"].tier for i in (9, 4, 3, 0)]
    assert tiers == ["word", "word", "single", "single"]


def test_every_phase_shows_every_tier():
    for _, shares in PHASES:
        assert set(shares) == set(PHASES[0][1])
        assert abs(sum(shares.values()) - 1) < 1e-9
