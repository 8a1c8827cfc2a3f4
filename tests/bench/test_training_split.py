"""The split of a training step's time: what it refuses."""

import pytest

from bench import training_split
from runtime.errors import UsageError


def test_a_batch_that_its_experts_cannot_share_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["training_split", "--train-batch", "6", "--budgets", "0.5,0.6,0.7,0.8"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(UsageError, match="--train-batch 6: give a multiple of 4, for so many experts"):
        training_split.main()
