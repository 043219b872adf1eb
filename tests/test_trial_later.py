"""What waits for a step to be on its way: done once, in order, and told where it is asked for."""

import pytest

from seatrial.trial.later import Later


def test_all_that_waits_is_done_once_and_in_its_order():
    later, done = Later(), []
    looks = [later.add(lambda n=n: done.append(n) or n) for n in range(3)]
    assert done == []
    assert looks[1].get() == 1
    assert done == [0, 1, 2]
    later.do()
    assert [look.get() for look in looks] == [0, 1, 2]
    assert done == [0, 1, 2]


def test_what_is_added_meanwhile_is_done_too():
    later, done = Later(), []
    later.add(lambda: later.add(lambda: done.append("second")) and done.append("first"))
    later.do()
    assert done == ["first", "second"]


def test_an_error_is_raised_where_the_outcome_is_asked_for_and_keeps_nothing_else_from_being_done():
    later = Later()
    failing, fine = later.add(lambda: 1 // 0), later.add(lambda: "fine")
    later.do()
    assert fine.get() == "fine"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failing.get()


def test_an_interrupt_ends_the_run_where_it_comes_and_is_told_again_to_whoever_asks():
    later = Later()

    def interrupted():
        raise KeyboardInterrupt

    look = later.add(interrupted)
    for told in (later.do, look.get):
        with pytest.raises(KeyboardInterrupt):
            told()
