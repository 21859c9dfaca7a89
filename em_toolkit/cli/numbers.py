"""Numbers as people write them: decimal marks, groups of digits, signs, currencies.

Groups of three digits may be set apart by the mark that is not the decimal one, by blanks (also
those that do not break) and by apostrophes; a group never follows a leading zero. A text may be
a number with a decimal point, with a decimal comma, with both (1,500) or with none (1.5.2); which
it is, is for the whole column to say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal as ExactDecimal
from functools import cache, lru_cache
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

from em_toolkit.statistics import Array, BoolArray

TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
MARKS = (".", ",")
_WORDS = "|na|n/a|nan|-nan|+nan|#na|#n/a|<na>|null|none|nil|missing|?|.|..|...|…|-|--|---|/"
_WORDS += "|n.a.|n. a.|k.a.|k. a.|#div/0!|#value!|#wert!|#ref!|#bezug!|#name?|#num!|#zahl!|#null!"
MISSING = frozenset([*_WORDS.split("|"), "\u2013", "\u2014", "\u2212"])
_GROUP_SIGNS = {".": r"\.", ",": ",", " ": " ", "'": "'"}
_BLANKS = "[\u00a0\u2007\u2009\u202f]"
_MINUS = "[\u2212\u2013\ufe63\uff0d]"
_APOSTROPHES = "[\u2019\u02bc\u00b4`]"
_SIGNS = (*"%$€£¥₹₽₩₺₪¢", "CHF", "EUR", "USD", "GBP")
_SIGN = "|".join(map(re.escape, _SIGNS))
# Texts that could be numbers one by one, and are none where a whole column has their form.
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_DISGUISED = {
    "IP addresses": rf"(?:{_OCTET}\.){{3}}{_OCTET}",
    "dates": r"(?:0?[1-9]|1[0-2])\.(?:19|20)\d\d",
    "times": r"(?:[01]\d|2[0-3])\.[0-5]\d",
}
_DATE = re.compile(
    r"(\d{4}[-/]\d{1,2}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    r"|\d{1,2}[-. ]+[^\W\d]{3,9}\.?[-, ]+\d{2,4}|[^\W\d]{3,9}\.? \d{1,2}, \d{4})([ T,].*)?"
)
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?|\d{1,2}\.\d{2}\.\d{2}")
# As spreadsheets write them in English, German, French, Spanish and Italian.
_TRUTHS = ("true", "wahr", "vrai", "verdadero", "vero")
_BOOLEANS = (*_TRUTHS, "false", "falsch", "faux", "falso")
# Negative numbers as accountants and SAP write them.
_IN_BRACKETS = r"^\(([^-()]*\d[^-()]*)\)$"
_MINUS_BEHIND = r"^([^-]*\d[^-]*)-$"


@cache
def _pattern(decimal: str, thousands: str | None = None) -> str:
    """Return the form of a number with a decimal mark, for Python's and for Arrow's expressions."""
    signs = [thousands] if thousands else [sign for sign in _GROUP_SIGNS if sign != decimal]
    groups = [rf"(?:{_GROUP_SIGNS[sign]}\d{{3}})+" for sign in signs]
    whole = rf"[1-9]\d{{0,2}}(?:{'|'.join(groups)})"
    if "," in signs:
        whole += r"|[1-9]\d?(?:,\d{2})+,\d{3}"  # lakhs and crores
    mark = _GROUP_SIGNS[decimal]
    fraction = rf"{mark}\d*" if decimal == "." else rf"{mark}\d+"
    number = rf"(?:(?:{whole}|\d+)(?:{fraction})?|{mark}\d+)(?:[eE][-+]?\d+)?"
    return rf"[-+]?(?:{number}|(?i:inf|infinity))"


@dataclass(frozen=True)
class Missing:
    """The codes that a person names for missing values, besides those that are known.

    Parameters
    ----------
    texts : frozenset of str
        In lower case.
    values : tuple of float
        Codes that are numbers: -999 stands for -999.0 too.
    """

    texts: frozenset[str] = MISSING
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, codes: Sequence[str]) -> Missing:
        """Return the codes in a list, numbers among them."""
        texts = frozenset(code.strip().lower() for code in codes)
        numbers = [number(code.strip()) for code in codes]
        return cls(MISSING | texts, tuple(value for value in numbers if value is not None))


def number(text: str) -> float | None:
    """Return the number that a text is with a decimal point, None if it is none."""
    plain = re.fullmatch(_pattern("."), text)
    return float(re.sub("[ ',]", "", text)) if plain else None


def kind_of(cell: Any) -> str:
    """Return what a single cell looks like: missing, number, date, time, truth or text."""
    if not isinstance(cell, str):
        if pd.api.types.is_scalar(cell) and pd.isna(cell):
            return "missing"
        if isinstance(cell, bool | np.bool_):
            return "truth"
        if isinstance(cell, Real | ExactDecimal):
            return "number"
    return _kind_of_text(str(cell))


@lru_cache(maxsize=100_000)
def _kind_of_text(text: str) -> str:
    text = re.sub(_APOSTROPHES, "'", re.sub(_BLANKS, " ", text.strip()))
    if text.lower() in MISSING:
        return "missing"
    if text.lower() in _BOOLEANS:
        return "truth"
    if _TIME.fullmatch(text):
        return "time"
    if _DATE.fullmatch(text):
        return "date"
    text = re.sub(_MINUS_BEHIND, r"-\1", re.sub(_IN_BRACKETS, r"-\1", text))
    bare = re.sub(rf"^([-+]?) ?(?:{_SIGN}) ?| ?(?:{_SIGN}|%)$", r"\1", re.sub(_MINUS, "-", text))
    is_number = any(re.fullmatch(_pattern(mark), bare) for mark in MARKS)
    return "number" if is_number else "text"


def _unified(texts: pd.Series[str]) -> pd.Series[str]:
    """Texts with one sign for each minus, blank and apostrophe that people use."""
    texts = texts.str.strip()
    for signs, one in ((_BLANKS, " "), (_APOSTROPHES, "'")):
        if texts.str.contains(signs, regex=True).any():
            texts = texts.str.replace(signs, one, regex=True)
    if texts.str.contains(_MINUS, regex=True).any():
        texts = texts.str.replace(rf"{_MINUS} ?([\d.,$€£¥])", r"-\1", regex=True)
    if texts.str.endswith((")", "-")).any():
        for form in (_IN_BRACKETS, _MINUS_BEHIND):
            texts = texts.str.replace(form, r"-\1", regex=True)
    return texts


def _without_sign(texts: pd.Series[str]) -> tuple[pd.Series[str], str]:
    """Texts without the currency or percent sign about a number, and the sign.

    Nothing is left out where there are two signs, or percentages beside other numbers: these
    differ by a factor.
    """
    if not texts.str.contains("[^-+0-9.,' eE]", regex=True).any():
        return texts, ""
    found = [sign for sign in _SIGNS if texts.str.contains(sign, regex=False).any()]
    if len(found) != 1:
        return texts, ""
    sign, escaped = found[0], re.escape(found[0])
    if sign == "%" and not texts[texts != ""].str.endswith("%").all():
        return texts, ""
    texts = texts.str.replace(rf"^([-+]?) ?{escaped} ?", r"\1", regex=True)
    return texts.str.replace(rf" ?{escaped}$", "", regex=True), sign


@dataclass(frozen=True)
class Column:
    """A column of cells, and what each of them may be.

    Parameters
    ----------
    texts : Series of str
        The cells that are text, unified; "" for others and for missing ones.
    fixed : ndarray of shape (n_rows,)
        The cells that are numbers already; NaN elsewhere.
    is_missing : ndarray of shape (n_rows,)
    fits : dict of str to ndarray of shape (n_rows,)
        By decimal mark: whether a text is a number with it.
    sign : str
        Of currency or percent, left out; "" if there was none.
    form : str
        "True and False", or "dates" and the like for texts that only look like numbers.
    codes : tuple of float
        Values that stand for missing ones.
    """

    texts: pd.Series[str]
    fixed: Array
    is_missing: BoolArray
    fits: dict[str, BoolArray]
    sign: str = ""
    form: str = ""
    codes: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        cells: pd.Series[Any],
        missing: Missing,
        decimal: str | None = None,
        thousands: str | None = None,
    ) -> Column:
        """Look at the cells of a column.

        Parameters
        ----------
        cells : Series
            Of any type.
        missing : Missing
        decimal, thousands : str, optional
            What a person says of the numbers.
        """
        texts, fixed, is_missing = _split(cells)
        texts = _unified(texts)
        says_missing = texts.str.lower().isin(missing.texts).to_numpy(dtype=bool)
        is_missing = is_missing | (says_missing & np.isnan(fixed))
        texts = texts.where(~is_missing, "")
        is_text = ~is_missing & np.isnan(fixed)
        form = _form(texts[is_text])
        if form == "True and False":
            fixed = np.where(is_text, texts.str.lower().isin(_TRUTHS), fixed)
            is_text = np.zeros_like(is_text)
        texts, sign = _without_sign(texts)
        marks = MARKS
        if decimal is None and thousands in MARKS:
            decimal = "." if thousands == "," else ","
        fits = {}
        for mark in marks:
            may_be = (decimal in (None, mark)) and thousands != mark and not form
            matched = texts.str.fullmatch(_pattern(mark, thousands)).to_numpy(dtype=bool)
            fits[mark] = matched & is_text & may_be
        return cls(texts, fixed, is_missing, fits, sign, form, missing.values)

    def value(self, cell: int, mark: str) -> float:
        """Return the number in a cell that is one with this decimal mark.

        Parameters
        ----------
        cell : int
            The row of the cell.
        mark : {".", ","}
        """
        return float(_converted(self.texts.iloc[cell : cell + 1], mark)[0])

    @property
    def with_unit(self) -> str:
        """The first cell, if most are numbers with a unit behind them, such as 12.5 kg."""
        texts = self.texts[self.texts != ""]
        is_one = texts.str.fullmatch(r"[-+]?[\d.,' ]*\d ?[^\W\d_]{1,4}[²³]?(/[^\W\d_]{1,3}[²³]?)?")
        return str(texts.iloc[0]) if len(texts) and is_one.mean() > 0.5 else ""

    @property
    def has_leading_zeros(self) -> bool:
        """Whether integers begin with a zero: 01001 is a code."""
        return bool(self.texts.str.fullmatch(r"0\d+").any())

    def are_codes(self, is_text: BoolArray) -> bool:
        """Whether texts are of the form of the integers beside them: 2A109 among five digits."""
        plain = self.texts[self.texts != ""]
        lengths = plain.str.len()
        is_plain = plain.str.fullmatch("[0-9A-Za-z]{3,}").all() and lengths.nunique() == 1
        return bool(is_plain and self.texts[is_text].str.contains(r"\d", regex=True).all())

    @property
    def is_text(self) -> BoolArray:
        """The cells that are neither missing nor numbers of a type of their own."""
        return ~self.is_missing & np.isnan(self.fixed)

    @property
    def is_marked(self) -> BoolArray:
        """The cells with a comma or a point."""
        return self.texts.str.contains("[.,]", regex=True).to_numpy(dtype=bool)

    def decisive(self, mark: str) -> BoolArray:
        """Return the cells that are numbers with this decimal mark alone."""
        return self.fits[mark] & ~self.fits["," if mark == "." else "."]

    def values(self, mark: str) -> Array:
        """Return the numbers with a decimal mark; NaN where a cell is missing or no number."""
        values = self.fixed.copy()
        fits = self.fits[mark]
        if fits.any():
            values[fits] = _converted(self.texts[fits], mark)
        for code in self.codes:
            values[values == code] = math.nan
        return values


def _converted(texts: pd.Series[str], mark: str) -> Array:
    """Texts that are numbers with a decimal mark, as such."""
    signs = "[ ',]" if mark == "." else "[ '.]"
    if texts.str.contains(signs, regex=True).any():
        texts = texts.str.replace(signs, "", regex=True)
    if mark == ",":
        texts = texts.str.replace(",", ".", regex=False)
    numbers: Array = pa.array(texts).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _split(cells: pd.Series[Any]) -> tuple[pd.Series[str], Array, BoolArray]:
    """Return the cells that are text, those that are numbers, and which are missing."""
    nothing = np.full(len(cells), math.nan)
    is_missing = cells.isna().to_numpy(dtype=bool)
    if isinstance(cells.dtype, pd.StringDtype):
        texts = cells.astype(TEXT).fillna("")
        return texts, nothing, is_missing
    if types.is_bool_dtype(cells.dtype):
        texts = cells.astype(object).where(~is_missing, "").astype(str).astype(TEXT)
        return texts, nothing, is_missing
    if types.is_integer_dtype(cells.dtype) or types.is_float_dtype(cells.dtype):
        texts = pd.Series("", index=cells.index, dtype=TEXT)
        return texts, cells.to_numpy(dtype=np.float64, na_value=np.nan), is_missing
    found = cells.tolist()
    is_number = [
        isinstance(cell, Real | ExactDecimal) and not isinstance(cell, bool | np.bool_)
        for cell in found
    ]
    fixed = [
        float(cell) if is_it else math.nan for cell, is_it in zip(found, is_number, strict=True)
    ]
    no_text = is_missing | np.array(is_number, dtype=bool)
    shown = ["" if none else str(cell) for cell, none in zip(found, no_text, strict=True)]
    return pd.Series(shown, index=cells.index, dtype=TEXT), np.array(fixed), is_missing


def _form(texts: pd.Series[str]) -> str:
    """The kind of texts that are alike, and no numbers though some of them look like some."""
    if texts.empty:
        return ""
    head = texts.iloc[:20]
    if head.str.lower().isin(_BOOLEANS).all() and texts.str.lower().isin(_BOOLEANS).all():
        return "True and False"
    for form, pattern in _DISGUISED.items():
        if head.str.fullmatch(pattern).all() and texts.str.fullmatch(pattern).all():
            # 18.30 is a number, if no hour is written as 09.
            if form == "times" and not texts.str.startswith("0").any():
                continue
            return form
    kinds = {kind_of(text) for text in head}
    return {"date": "dates", "time": "times"}.get(kinds.pop(), "") if len(kinds) == 1 else ""
