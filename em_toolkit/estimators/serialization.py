"""Fitted estimators as JSON documents.

A document holds the constructor's parameters (``settings``) and the fitted attributes
(``fitted``): those that the class declares by an annotation, such as ``means_: Data``. Nothing
here knows an estimator by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from sklearn.utils.validation import check_is_fitted

from em_toolkit import __version__
from em_toolkit.estimators.json_values import check_names, decoded, encoded

SCHEMA = "em_toolkit.estimator"
SCHEMA_VERSION = 2

_FIELDS = ("schema", "schema_version", "written_by", "estimator", "settings", "fitted")

E = TypeVar("E")


def document_of(estimator: Any) -> dict[str, Any]:
    """Return a fitted estimator as what JSON can hold.

    Parameters
    ----------
    estimator : EMEstimator

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If a parameter of the constructor is nothing that can be written, such as a function.
    """
    check_is_fitted(estimator)
    attributes = vars(estimator)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "written_by": f"em_toolkit {__version__}",
        "estimator": type(estimator).__name__,
        "settings": {
            name: encoded(value, name) for name, value in estimator.get_params(deep=False).items()
        },
        "fitted": {
            name: encoded(attributes[name], name)
            for name in _declared(type(estimator))
            if name in attributes
        },
    }


def estimator_from(source: str | os.PathLike[str], classes: Sequence[type[E]]) -> E:
    """Return the fitted estimator that a JSON text holds.

    Parameters
    ----------
    source : str or path
        The text, or the path of a file with it. A file that ``em-toolkit fit`` wrote will do too.
    classes : sequence of estimator classes
        The estimators that it may be.

    Raises
    ------
    ValueError
        If it is no such document, of another version, or of another estimator; if a field is
        unknown or lacking; and if the attributes define no density.
    """
    document = _document_in(_text_of(source))
    by_name = {known.__name__: known for known in classes}
    estimator_class = by_name.get(str(document["estimator"]))
    if estimator_class is None:
        raise ValueError(
            f"expected a fitted {' or '.join(by_name)}, got one of {document['estimator']!r}: read "
            "it with the from_json of its own class."
        )
    estimator: Any = _constructed(estimator_class, document["settings"])
    vars(estimator).update(_attributes(estimator_class, document["fitted"]))
    try:
        estimator._check_fitted()
    except AttributeError as error:
        raise ValueError(
            f"the attributes in 'fitted' do not define a model: {error.name} is not among them"
        ) from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"the attributes in 'fitted' do not define a model: {error}") from None
    return estimator


def _text_of(source: str | os.PathLike[str]) -> str:
    if not isinstance(source, str):
        return Path(source).read_text(encoding="utf-8")
    if source.lstrip()[:1] in ("{", "["):
        return source
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, ValueError):
        if source.endswith(".json"):
            raise FileNotFoundError(f"no such file: {source!r}") from None
        raise ValueError(
            "expected the JSON text that to_json returned, or the path of a file that holds it, "
            f"got {source[:60]!r}, which is neither."
        ) from None


def _document_in(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refused)
    except ValueError as error:
        raise ValueError(f"expected the JSON text of a fitted estimator: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("estimator"), dict):
        document = document["estimator"]  # The command line puts it into an account of the fit.
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(
            f'expected an object with "schema": "{SCHEMA}", as to_json writes it, got JSON of '
            "another kind."
        )
    version = document.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ValueError(
            f"expected schema_version {SCHEMA_VERSION}, got {version!r}, written by "
            f"{document.get('written_by', 'an unknown version')}: read it with that version of "
            "em_toolkit, or fit the model again."
        )
    check_names(document, _FIELDS, _FIELDS, "the document")
    for part in ("settings", "fitted"):
        if not isinstance(document[part], dict):
            raise ValueError(f"expected an object in {part!r}, got {document[part]!r:.60}.")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the field {name!r} is there twice")
    return dict(pairs)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _constructed(estimator_class: Any, settings: dict[str, Any]) -> Any:
    # A parameter that is not there has its default: it may be younger than the document.
    check_names(settings, estimator_class._get_param_names(), (), "'settings'")
    estimator = estimator_class(**{k: decoded(value, k) for k, value in settings.items()})
    estimator._validate_params()
    return estimator


def _attributes(estimator_class: type[Any], fitted: dict[str, Any]) -> dict[str, Any]:
    declared = _declared(estimator_class)
    arrays = [name for name, hint in declared.items() if get_origin(hint) is np.ndarray]
    required = [name for name in arrays if name != "feature_names_in_"] + ["n_features_in_"]
    check_names(fitted, list(declared), required, "'fitted'")
    values = {name: decoded(value, name) for name, value in fitted.items()}
    for name, value in values.items():
        if not _is_a(value, declared[name]):
            kind = getattr(declared[name], "__name__", declared[name])
            raise ValueError(f"{name}: expected a value of type {kind}, got {value!r:.60}.")
    return values


def _declared(estimator_class: type[Any]) -> dict[str, Any]:
    """Return the types of the fitted attributes, by name."""
    hints = get_type_hints(estimator_class)
    return {name: hint for name, hint in hints.items() if name[-1] == "_" and name[0] != "_"}


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type: a class, an array, a list of a class, or a union."""
    if isinstance(hint, UnionType):
        return any(_is_a(value, option) for option in get_args(hint))
    kind = get_origin(hint) or hint
    if kind is list:
        return isinstance(value, list) and all(_is_a(item, *get_args(hint)) for item in value)
    if kind in (int, float):
        numbers = int if kind is int else int | float
        return isinstance(value, numbers) and not isinstance(value, bool)
    return isinstance(value, kind)
