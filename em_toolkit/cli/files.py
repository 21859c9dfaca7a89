"""The content of a file: its bytes, the kind of table that they hold, and the text in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from em_toolkit.cli.messages import InputError
from em_toolkit.cli.options import Format

STANDARD_INPUT = Path("-")

_SUFFIXES = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".txt": Format.TXT,
    ".parquet": Format.PARQUET,
    ".xlsx": Format.EXCEL,
    ".tab": Format.TSV,
    ".dat": Format.TXT,
    ".data": Format.TXT,
    ".log": Format.TXT,
    ".pq": Format.PARQUET,
    ".xlsm": Format.EXCEL,
    ".xls": Format.EXCEL,
    ".ods": Format.EXCEL,
}
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip")
_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
}
_ZIP = b"PK\x03\x04"
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


@dataclass(frozen=True)
class Content:
    """The bytes of a file, and the kind of table that they are."""

    path: Path
    content: bytes
    format: Format


def stem(path: Path) -> str:
    """Return the name of a file without its suffixes of kind and compression."""
    if path == STANDARD_INPUT:
        return "stdin"
    if path.suffix.lower() in _COMPRESSIONS:
        path = path.with_suffix("")
    return path.stem


def load(path: Path, kind: Format | None = None) -> Content:
    """Return what is in a file, decompressed, and what kind of file it is.

    Parameters
    ----------
    path : Path
        `-` stands for standard input.
    kind : Format, optional
        By default by the suffix; standard input is told by its first bytes.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, or is of no known kind.
    """
    is_piped = path == STANDARD_INPUT
    name = Path("stdin") if is_piped else path
    packed = not is_piped and path.suffix.lower() in _COMPRESSIONS
    inner = Path(path.stem) if packed else path
    if kind is None and not is_piped and not (packed and not inner.suffix):
        kind = _kind_by_suffix(path, inner.suffix)
    content = _bytes_of(path)
    for mark, decompress in _DECOMPRESS.items():
        if content.startswith(mark):
            content = _decompressed(path, content, decompress)
    if content.startswith(_ZIP) and (packed or kind not in (None, Format.EXCEL)):
        inner, content = _only_member(path, content)
        kind = kind or _kind_by_suffix(path, inner.suffix)
    if kind is None and packed:
        kind = _kind_by_suffix(path, inner.suffix)
    if kind is None:
        magic = {b"PAR1": Format.PARQUET, _ZIP: Format.EXCEL}
        kind = magic.get(content[:4], Format.CSV)
    if not content.strip():
        raise InputError(f"{name}: the file is empty")
    return Content(name, content, kind)


def _bytes_of(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _kind_by_suffix(path: Path, suffix: str) -> Format:
    kind = _SUFFIXES.get(suffix.lower())
    if kind is None:
        known = ", ".join([*list(_SUFFIXES)[:5], ".csv.gz"])
        found = f"'{suffix}'" if suffix else "none"
        raise InputError(
            f"{path}: the suffix must be {known} or the like; got {found}: say what kind of file "
            f"it is by --format {', '.join(Format)}"
        )
    return kind


def _decompressed(path: Path, content: bytes, decompress: Callable[[bytes], bytes]) -> bytes:
    try:
        return decompress(content)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: the compressed file is damaged: {error}") from None


def _only_member(path: Path, content: bytes) -> tuple[Path, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) == 1:
                return Path(names[0]), archive.read(names[0])
    except (zipfile.BadZipFile, RuntimeError, zlib.error) as error:
        raise InputError(f"{path}: the zip file cannot be read: {error}") from None
    raise InputError(
        f"{path}: a zip file must hold one table; this one holds {', '.join(names[:8])}: "
        "extract the one that you mean"
    )


def decode(source: Content, encoding: str | None = None) -> tuple[str, list[str]]:
    """Return the text of a file, with \\n at the end of lines, and notes on its encoding.

    Parameters
    ----------
    source : Content
    encoding : str, optional
        By default by the byte order mark; without one UTF-8 and UTF-16 are told by what they
        may hold, and anything else is taken for Windows-1252, which a note says.

    Raises
    ------
    InputError
        If the file is no text, or not in the encoding that was given.
    """
    notes = []
    if encoding is None:
        encoding = _encoding_of(source.content)
        if encoding in ("cp1252", "latin-1"):
            name = "Windows-1252" if encoding == "cp1252" else "Latin-1"
            notes = [f"the text is not UTF-8, and was read as {name} (--encoding names another)"]
    try:
        text = source.content.decode(encoding)
    except LookupError:
        raise InputError(
            f"no encoding is called '{encoding}'; --encoding takes utf-8, latin-1, cp1252, "
            "utf-16, shift_jis and the like"
        ) from None
    except UnicodeError as error:
        line = source.content[: getattr(error, "start", 0)].count(b"\n") + 1
        raise InputError(
            f"{source.path}, line {line}: not {encoding} text; --encoding names another encoding"
        ) from None
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise InputError(
            f"{source.path}: neither UTF-8 nor UTF-16 text, nor of another known encoding; "
            "if it is no text file, say what it is by --format"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _encoding_of(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    head = content[:4000]
    # Digits and letters of the Latin alphabet have a zero as one of their two bytes in UTF-16, and
    # no other text has any.
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[first::2].count(0), head[1 - first :: 2].count(0)
        if others == 0 and zeros > 0.3 * len(head[first::2]):
            return encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"
