"""What was computed of an object is kept with it, and let go with it."""

import gc
import threading
import weakref

import pytest

from napari_selfseg.core.keeping import kept_with_first


class Thing:
    """Something to compute of."""


def test_it_is_computed_once_for_every_object_and_the_other_arguments():
    asked = []

    @kept_with_first
    def double(thing, number, *, more=0):
        asked.append((thing, number, more))
        return [2 * number + more]

    one, other = Thing(), Thing()
    assert double(one, 2) is double(one, 2)
    assert double(other, 2) is not double(one, 2)
    assert double(one, 3) == [6]
    assert double(one, 3, more=1) == [7]
    assert asked == [(one, 2, 0), (other, 2, 0), (one, 3, 0), (one, 3, 1)]


def test_results_go_with_the_object():
    @kept_with_first
    def part_of(_thing):
        return Thing()

    thing = Thing()
    result = weakref.ref(part_of(thing))
    gc.collect()
    assert result() is not None
    del thing
    gc.collect()
    assert result() is None


def test_an_error_is_not_kept():
    @kept_with_first
    def fails_once(_thing):
        if not tried:
            tried.append(1)
            raise ValueError("not yet")
        return 5

    tried, thing = [], Thing()
    with pytest.raises(ValueError, match="not yet"):
        fails_once(thing)
    assert fails_once(thing) == 5


def test_who_asks_meanwhile_waits_instead_of_computing_it_too():
    begun, may_end, asked = threading.Event(), threading.Event(), []

    @kept_with_first
    def slow(_thing):
        asked.append(1)
        begun.set()
        assert may_end.wait(5)
        return [3]

    thing, found = Thing(), []
    threads = [threading.Thread(target=lambda: found.append(slow(thing))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(5)
    may_end.set()
    for thread in threads:
        thread.join(5)
    assert found[0] is found[1]
    assert len(asked) == 1
