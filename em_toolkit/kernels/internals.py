"""The parts of numba and llvmlite that are not public, in one place.

The vector instructions (`em_toolkit.kernels.instructions`) are written by llvmlite and by the
helpers with which numba writes its own code; one option of the compiler has no public name.
`missing_internals` says which of these a release of numba no longer has.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import binding, ir
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.options import DefaultOptions

__all__ = ["UNCOUNTED", "binding", "cgutils", "ir", "missing_internals"]

# Without the counts of references to arrays: a function that makes no arrays needs none, and each
# slice would change two, by instructions that wait for the memory: an eighth of a pass of two
# features.
UNCOUNTED = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}

_NEEDED: dict[object, tuple[str, ...]] = {
    DefaultOptions: ("_nrt",),
    cgutils: ("alloca_once", "for_range_slice", "get_or_insert_function", "unpack_tuple"),
    BaseContext: ("get_dummy_value", "make_array"),
    binding: ("get_host_cpu_features",),
    ir: ("Constant", "DoubleType", "FunctionType", "IntType", "Undefined", "VectorType"),
    ir.IRBuilder: (
        "extract_element",
        "fcmp_ordered",
        "fcmp_unordered",
        "gep",
        "if_then",
        "insert_element",
        "shuffle_vector",
    ),
}


def missing_internals() -> Iterator[str]:
    """Yield the names of the parts that the installed numba and llvmlite do not have."""
    for owner, names in _NEEDED.items():
        for name in names:
            if not hasattr(owner, name):
                yield f"{getattr(owner, '__name__', owner)}.{name}"
