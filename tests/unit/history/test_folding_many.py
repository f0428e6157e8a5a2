"""Python looks for cycles as usual before and after a long fold, and seldom in between."""

import gc
import threading
from contextlib import suppress

from custody.history.fold import folding_many


def test_what_was_set_before_stands_afterwards():
    usual = gc.get_threshold()
    with folding_many():
        assert gc.get_threshold()[0] > usual[0]
        assert gc.get_threshold()[1:] == usual[1:]
    assert gc.get_threshold() == usual


def test_it_stands_after_an_error_too():
    usual = gc.get_threshold()
    with suppress(ZeroDivisionError), folding_many():
        _ = 1 // 0
    assert gc.get_threshold() == usual


def test_two_at_once_leave_it_as_it_was():
    usual = gc.get_threshold()
    begun, ended = threading.Event(), threading.Event()

    def other():
        with folding_many():
            begun.set()
            ended.wait(10)

    thread = threading.Thread(target=other)
    with folding_many():
        thread.start()
        assert begun.wait(10)
    ended.set()
    thread.join()
    assert gc.get_threshold() == usual


def test_who_has_switched_it_off_is_not_overruled():
    usual = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with folding_many():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*usual)
