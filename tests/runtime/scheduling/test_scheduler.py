"""The scheduler: which request does what next, in a world whose time the test owns."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import QueueFull
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.scheduling.ticket import Ticket
from tests.runtime.scheduling.world import Errand, World

PLENTY = QueueLimits(running=100, queued=None)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to come at a time, and what happens to it."""

    at: float
    engines: str
    priority: int
    seconds: float | None
    cancelled_after: float | None
    prepares: bool


arrivals = st.builds(
    Arrival,
    at=st.integers(0, 120).map(lambda quarter: quarter / 4),
    engines=st.one_of(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 6)).map(lambda plan: plan[0] * plan[1] + "z"),
        st.text("abcd", min_size=1, max_size=6),
    ),
    priority=st.sampled_from([-1, 0, 0, 0, 1]),
    seconds=st.one_of(st.none(), st.none(), st.floats(0.1, 40)),
    cancelled_after=st.one_of(st.none(), st.none(), st.none(), st.floats(0, 20)),
    prepares=st.sampled_from([True] * 9 + [False]),
)


@settings(max_examples=300, deadline=None)
@given(
    wanted=st.lists(arrivals, min_size=1, max_size=25),
    running=st.integers(1, 12),
    queued=st.sampled_from([None, 0, 1, 5]),
    engines=st.integers(1, 5),
    batch=st.integers(1, 4),
    bad=st.sets(st.integers(1, 60), max_size=4),
)
def test_every_request_ends_exactly_once(
    wanted: list[Arrival], running: int, queued: int | None, engines: int, batch: int, bad: set[int]
) -> None:
    world = World(
        QueueLimits(running, queued),
        budget=10 * engines,
        batch=batch,
        fails=lambda what, key, number: number in bad,
    )
    errands, let_in = [], []

    def come(arrival: Arrival) -> None:
        errand = Errand(arrival.engines, arrival.prepares)
        errands.append((arrival, errand))
        ticket = world.admit(errand, arrival.priority, arrival.seconds)
        if ticket is not None:
            let_in.append(errand)
            if arrival.cancelled_after is not None:
                world.at(world.now + arrival.cancelled_after, lambda: world.cancel(ticket))
            if arrival.seconds is not None:
                world.at(world.now + arrival.seconds, lambda: None)  # the watch looks at the time

    for arrival in wanted:
        world.at(arrival.at, lambda arrival=arrival: come(arrival))
    world.run()
    assert len(errands) == len(wanted)
    assert len(world.scheduler) == 0, "nobody waits forever"
    for errand in let_in:
        (end,) = errand.ends
        assert (end == "finished") <= (errand.done == errand.engines)
        assert errand.engines.startswith(errand.done)
    assert len(let_in) + world.rejected == len(wanted)


@settings(max_examples=200, deadline=None)
@given(
    plans=st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 30), st.integers(0, 80)), min_size=2, max_size=20
    ),
    patience=st.integers(0, 8),
    batch=st.integers(1, 4),
)
def test_younger_groups_go_first_so_often_at_most(
    plans: list[tuple[str, int, int]], patience: int, batch: int
) -> None:
    world = World(QueueLimits(100, None, patience), batch=batch, opening=0.0)
    for engine, steps, when in plans:
        world.at(float(when), lambda engine=engine, steps=steps: world.admit(Errand(engine * steps)))
    waits: dict[Any, int] = {}
    choose = world.scheduler.next_call

    def watched() -> Any:
        heads = {} if world.scheduler._group else world.scheduler._heads()
        group = choose()
        if group is not None and heads:
            for key, head in heads.items():
                passed = head[0].rank < heads[group.key][0].rank
                waits[key] = 0 if key == group.key else waits.get(key, 0) + passed
                assert waits[key] <= patience + len(set("abcd")) - 1
            for key in set(waits) - set(heads):
                del waits[key]
        return group

    world.scheduler.next_call = watched  # type: ignore[method-assign]
    world.run()
    assert len(world.scheduler) == 0


def test_who_shares_a_call() -> None:
    world = World(PLENTY)
    one, other, two, three, four = (Errand(engines) for engines in ("aa", "bb", "aa", "aa", "aa"))
    for errand in (one, other, two, three, four):
        world.admit(errand)
    world.run(until=20.0)
    groups = [group for _, key, group in world.calls if key == "a"]
    assert groups[0] == (one, two, three)  # three at most; not the one on another engine
    assert groups[-1] == (four,)


def test_full_groups_go_first() -> None:
    world = World(PLENTY, opening=0.0)
    world.scheduler.limits = QueueLimits(100, None, patience=3)
    lone, others = Errand("a" * 3), [Errand("b" * 9) for _ in range(3)]
    for errand in (lone, *others):
        world.admit(errand)
    world.run()
    keys = "".join(str(key) for _, key, _ in world.calls)
    assert "bbb" in keys
    assert keys.rindex("a") < len(keys) - 1  # but nobody waits for all of theirs


def test_the_oldest_goes_first_where_calls_are_not_shared() -> None:
    world = World(PLENTY, batch=1, opening=0.0)
    for engines in ("aaaa", "bb", "aa"):
        world.admit(Errand(engines))
    world.run()
    order = [group[0].engines for _, _, group in world.calls]
    assert order == ["aaaa"] * 4 + ["bb"] * 2 + ["aa"] * 2


def test_priority_is_worth_its_advantage_and_no_more() -> None:
    world = World(QueueLimits(1, None, advantage=10.0), batch=1)
    first = Errand("a" * 40)
    world.admit(first)
    early, late = Errand("a"), Errand("a")
    world.at(1.0, lambda: world.admit(early))
    world.at(10.5, lambda: world.admit(late, priority=1))
    later, urgent = Errand("a"), Errand("a")
    world.at(12.0, lambda: world.admit(later))
    world.at(30.0, lambda: world.admit(urgent, priority=1))
    world.run()
    order = [group[0] for _, _, group in world.calls[40:]]
    assert order == [late, early, later, urgent]


def test_what_does_not_fit_is_refused_and_counted() -> None:
    world = World(QueueLimits(1, 2))
    tickets = [world.admit(Errand("a")) for _ in range(5)]
    assert [ticket is None for ticket in tickets] == [False] * 3 + [True] * 2
    assert world.scheduler.counts.rejected == 2


def test_a_refusal_says_when_to_come_again() -> None:
    scheduler: Scheduler[Errand] = Scheduler(QueueLimits(1, 0), MemoryBudget(1, lambda key: 1), lambda key: 1)
    scheduler.admit(Errand("a"), now=0.0)
    with pytest.raises(QueueFull, match="try again in 1 s") as caught:
        scheduler.admit(Errand("a"), now=0.0)
    assert caught.value.retry_after == scheduler.counts.pace


def test_a_place_is_free_as_soon_as_its_request_was_cancelled() -> None:
    world = World(QueueLimits(1, 0))
    ticket = world.admit(Errand("aaaa"))
    assert isinstance(ticket, Ticket)
    world.run(until=6.0)
    assert world.admit(Errand("a")) is None
    world.cancel(ticket)
    assert world.admit(Errand("a")) is not None
    world.cancel(ticket)  # once more changes nothing
    world.run()
    assert world.scheduler.counts.cancelled == 1
    assert world.scheduler.counts.finished == 1


def test_what_waits_longer_than_its_deadline_is_never_begun() -> None:
    world = World(QueueLimits(1, 5), batch=1)
    world.admit(Errand("a" * 30))
    late = Errand("b")
    world.admit(late, seconds=3.0)
    world.at(3.0, lambda: None)
    world.run()
    assert late.ends == ["expired"]
    assert all(late not in group for _, _, group in world.calls)


def test_what_waits_ends_at_its_deadline() -> None:
    world = World(QueueLimits(1, 5), batch=1)
    world.admit(Errand("a"))
    waits = world.admit(Errand("a"), seconds=3.0)
    assert world.scheduler.expire(2.9) == []
    assert world.scheduler.expire(3.0) == [waits]
    assert (world.scheduler.counts.expired, len(world.scheduler.queue)) == (1, 0)


def test_next_deadline_is_the_first() -> None:
    world = World(QueueLimits(1, 5))
    assert world.scheduler.next_deadline is None
    for seconds in (None, 9.0, 4.0):
        world.admit(Errand("a"), seconds=seconds)
    assert world.scheduler.next_deadline == 4.0


def test_engines_are_fetched_ahead_of_need() -> None:
    world = World(PLENTY, opening=3.0, budget=20)
    world.admit(Errand("aaaaaaab"))
    world.run()
    starts = [when for when, _, _ in world.calls]
    assert all(later - earlier == 1.0 for earlier, later in zip(starts, starts[1:], strict=False))


def test_without_room_the_next_engine_waits_for_the_last_call() -> None:
    world = World(PLENTY, opening=3.0, budget=10)
    errand = Errand("aab")
    world.admit(errand)
    world.run()
    assert errand.ends == ["finished"]
    assert [when for when, _, _ in world.calls] == [3.25, 4.25, 8.25]


def test_a_failed_opening_ends_only_those_who_need_it() -> None:
    world = World(PLENTY, fails=lambda what, key, number: what == "open" and key == "a")
    spoilt, good = Errand("aa"), Errand("bb")
    world.admit(spoilt)
    world.admit(good)
    world.run()
    assert (spoilt.ends, good.ends) == (["failed"], ["finished"])


def test_half_the_memory_costs_less_than_a_fifth() -> None:
    def makespan(budget: int) -> float:
        world = World(QueueLimits(64, None), budget=budget, batch=8, opening=8.0)
        for number in range(128):
            world.admit(Errand("abcd"[number % 4] * 25))
        world.run()
        return world.now

    assert makespan(40) / makespan(20) >= 0.8


def test_an_engine_that_runs_is_not_let_go() -> None:
    world = World(PLENTY)
    world.admit(Errand("aaa"))
    world.run(until=5.5)
    assert world.scheduler.evict(lambda key: True) == []
    world.run()
    assert world.scheduler.evict(lambda key: True) == ["a"]
