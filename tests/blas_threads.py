"""The threads of BLAS, counted and set."""

from __future__ import annotations

from threading import Thread

from threadpoolctl import threadpool_info, threadpool_limits


def blas_threads() -> set[int]:
    """The numbers of threads that the libraries of linear algebra would use."""
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def set_blas_threads(n_threads: int) -> None:
    """Set them for the process, by a thread that ends: so none is in control of them after it."""
    thread = Thread(target=threadpool_limits, args=(n_threads, "blas"))
    thread.start()
    thread.join()
