"""Expectation-maximization for latent variable models, with the bound in full view.

The names listed in `em_toolkit.public` are imported when the first of them is asked for: NumPy,
SciPy and scikit-learn take a second, and the command line is to answer, and to be stopped, at once.
"""

from __future__ import annotations

__version__ = "0.1.0"

# As type checkers know it. The module typing takes longer to import than all else here.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from em_toolkit.public import *  # noqa: F403
else:  # A type checker would take every name for one that __getattr__ has.

    def __getattr__(name: str) -> object:
        from importlib import import_module

        # Python and its inspect module ask packages for names of this kind, such as __wrapped__.
        if name == "__all__" or not name.startswith("__"):
            public = import_module("em_toolkit.public")
            names = {known: getattr(public, known) for known in public.__all__}
            globals().update(names, __all__=public.__all__)
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        from importlib import import_module

        return sorted({*globals(), *import_module("em_toolkit.public").__all__})
