"""The memory of one: made once, whoever asks first, and anew for another object."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import pytest

from em_toolkit.kernels.latest import Latest


class Made:
    """A function that counts how often it is asked."""

    def __init__(self) -> None:
        self.n_times = 0

    def __call__(self, key: list[int]) -> int:
        self.n_times += 1
        sleep(0.01)
        return sum(key)


def test_it_is_made_once_for_an_object_and_anew_for_another() -> None:
    make = Made()
    latest, one, other = Latest(make), [1, 2], [1, 2]
    assert [latest(one), latest(one), latest(other), latest(other)] == [3, 3, 3, 3]
    assert make.n_times == 2


def test_of_threads_that_ask_at_once_one_makes_it() -> None:
    make, n_threads = Made(), 4
    latest, key, together = Latest(make), [1, 2], Barrier(n_threads)

    def ask(_: int) -> int:
        together.wait()
        return latest(key)

    with ThreadPoolExecutor(n_threads) as pool:
        assert list(pool.map(ask, range(n_threads))) == [3] * n_threads
    assert make.n_times == 1


def test_a_copy_begins_empty() -> None:
    latest = Latest(Made())
    key = [1, 2]
    latest(key)
    again = pickle.loads(pickle.dumps(latest))
    assert again(key) == 3


def test_a_failure_is_not_kept() -> None:
    def fails_at_first(key: list[int]) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")
        return sum(key)

    attempts: list[int] = []
    latest, key = Latest(fails_at_first), [1, 2]
    with pytest.raises(ValueError, match="once"):
        latest(key)
    assert [latest(key), latest(key)] == [3, 3]
    assert len(attempts) == 2
