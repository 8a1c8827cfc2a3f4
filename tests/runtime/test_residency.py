import pytest

from runtime.engines.residency import Bucket, Residency, default_budget


class Fake:
    def __init__(self, budget: int) -> None:
        self.opened: list[str] = []
        self.set: Residency[str] = Residency(self.open, lambda bucket: 10 * len(bucket.model), budget)

    def open(self, bucket: Bucket) -> str:
        assert self.set.used + 10 * len(bucket.model) <= self.set.budget or self.set.used == 0
        self.opened.append(bucket.model)
        return f"engine {bucket.model}"

    def get(self, model: str, rows: int = 1) -> str:
        return self.set[Bucket(model, rows, 8, 8)]


def test_an_engine_is_opened_once_per_bucket() -> None:
    fake = Fake(100)
    assert fake.get("a") == fake.get("a") == "engine a"
    fake.get("a", rows=2)
    assert fake.opened == ["a", "a"]


def test_the_least_recently_used_leaves() -> None:
    fake = Fake(20)
    for model in "abacab":
        fake.get(model)
    # b leaves for c, c stays away from a, and c leaves for b.
    assert fake.opened == ["a", "b", "c", "b"]
    assert fake.set.used == 20


def test_room_is_made_before_a_large_engine_opens() -> None:
    fake = Fake(30)
    for model in ("a", "b", "c", "dd"):
        fake.get(model)
    assert fake.set.used == 30
    fake.get("c")
    assert fake.opened == ["a", "b", "c", "dd"]


def test_one_engine_stays_whatever_the_budget() -> None:
    fake = Fake(1)
    fake.get("a")
    fake.get("b")
    fake.get("b")
    assert fake.opened == ["a", "b"]
    assert fake.set.used == 10


def test_an_engine_that_does_not_open_is_not_kept() -> None:
    def refuse(bucket: Bucket) -> str:
        raise OSError

    engines: Residency[str] = Residency(refuse, lambda _: 1, 10)
    with pytest.raises(OSError):  # noqa: PT011 - it carries no message
        engines[Bucket("a", 1, 8, 8)]
    assert engines.used == 0


def test_clear() -> None:
    fake = Fake(100)
    fake.get("a")
    fake.set.clear()
    assert fake.set.used == 0


def test_the_default_is_part_of_the_memory() -> None:
    assert 2**28 < default_budget() < 2**50
