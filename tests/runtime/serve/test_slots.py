"""Places for connections: who has one, who gives way, who is in reserve."""

from dataclasses import replace

from runtime.serve.limits import LIMITS
from runtime.serve.slots import Slots


class Holder:
    def __init__(self) -> None:
        self.has_left = False

    def leave(self) -> None:
        self.has_left = True


def slots(connections: int = 2, per_address: int = 2, reserve: int = 2) -> Slots:
    return Slots(replace(LIMITS, connections=connections, per_address=per_address, reserve=reserve))


def test_one_address_has_not_all_places() -> None:
    found = slots(connections=3)
    assert [found.take(Holder(), "10.0.0.1") for _ in range(3)] == [True, True, False]
    assert found.take(Holder(), "10.0.0.2")
    assert not found.take(Holder(), "10.0.0.3")


def test_a_place_is_free_again_once() -> None:
    found, first = slots(connections=1), Holder()
    assert found.take(first, "10.0.0.1")
    found.free(first)
    found.free(first)
    assert found.take(Holder(), "10.0.0.1")
    assert not found.take(Holder(), "10.0.0.1")


def test_the_connection_that_was_idle_longest_gives_way() -> None:
    found, holders = slots(), [Holder(), Holder()]
    for holder in holders:
        assert found.take(holder, "10.0.0.1")
    for holder in reversed(holders):
        found.rest(holder)
    assert found.take(Holder(), "10.0.0.2")
    assert [holder.has_left for holder in holders] == [False, True]


def test_one_that_works_does_not() -> None:
    found, first = slots(connections=1), Holder()
    assert found.take(first, "10.0.0.1")
    found.rest(first)
    found.work(first)
    assert not found.take(Holder(), "10.0.0.2")
    assert not first.has_left


def test_an_address_with_too_many_gives_way_to_itself_alone() -> None:
    found, other = slots(connections=9, per_address=1), Holder()
    assert found.take(other, "10.0.0.2")
    found.rest(other)
    first = Holder()
    assert found.take(first, "10.0.0.1")
    assert not found.take(Holder(), "10.0.0.1")
    found.rest(first)
    assert found.take(Holder(), "10.0.0.1")
    assert (first.has_left, other.has_left) == (True, False)


def test_the_oldest_of_the_reserve_gives_way() -> None:
    found, reserve = slots(connections=1), [Holder() for _ in range(4)]
    assert found.take(Holder(), "10.0.0.1")
    assert not any(found.take(holder, "10.0.0.1") for holder in reserve)
    assert [holder.has_left for holder in reserve] == [True, True, False, False]
    found.rest(reserve[3])  # none of the reserve is kept as an idle connection
    assert not found.take(Holder(), "10.0.0.1")


def test_a_network_of_ipv6_is_one_address() -> None:
    found = slots(connections=9, per_address=1)
    assert found.take(Holder(), "2001:db8:0:1::1")
    assert not found.take(Holder(), "2001:db8:0:1:ffff::2")
    assert found.take(Holder(), "2001:db8:0:2::1")
    assert found.take(Holder(), "::ffff:10.0.0.1")
    assert found.take(Holder(), "::ffff:10.0.0.2")
    assert found.take(Holder(), "fe80::1%eth0")
    assert found.take(Holder(), "")  # a socket without addresses
