"""Text that went wrong on its way: mojibake, and lists that were written as strings."""

from __future__ import annotations

import re

from affect_mllm.types import DataError

# Bytes that Windows-1252 leaves undefined; decoders in use pass them through as the same number.
_UNDEFINED = {number: bytes([number]) for number in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
_C1 = re.compile("[\x80-\x9f]")
# What a UTF-8 lead byte looks like when it was read as Windows-1252 (Ã, Â, â and their like).
_LEAD = re.compile("[\u00c2-\u00f4]")


def repair(text: str) -> str:
    """`text` with undone mojibake, or unchanged where no repair fits exactly.

    Two accidents are undone, each only if doing it again gives the text that was found: UTF-8
    that was read as Windows-1252 (`Iâ€™m` → `I’m`), and Windows-1252 that was read as Latin-1
    (a C1 control character in the place of a quotation mark). The idea of repairing only what
    round-trips is ftfy's (Speer 2019, "ftfy", Zenodo); this is the part of it that MELD needs.
    """
    if _LEAD.search(text):
        try:
            repaired = _windows_bytes(text).decode("utf-8")
        except UnicodeError:
            pass
        else:
            if _windows_text(repaired.encode("utf-8")) == text:
                return repaired
    return _C1.sub(lambda found: _windows_text(found[0].encode("latin-1")), text)


def _windows_bytes(text: str) -> bytes:
    """Windows-1252; the five undefined bytes as themselves. UnicodeError for anything else."""
    return b"".join(_UNDEFINED.get(ord(char)) or char.encode("cp1252") for char in text)


def _windows_text(data: bytes) -> str:
    return "".join(
        chr(byte) if byte in _UNDEFINED else bytes([byte]).decode("cp1252") for byte in data
    )


def string_list(text: str, where: str) -> list[str]:
    """The items of a list written as a string, lower-case, each once, in their order.

    Quoted in either way, with apostrophes inside (`['can't wait', "fed up"]`), or not quoted at
    all (`[happy, sad]`). A comma only ends an item where its quotation does. DataError at `where`
    when brackets or quotation marks do not close, or something stands between the items.
    """
    inner = text.strip()
    if inner.startswith("[") != inner.endswith("]"):
        raise DataError(where, f"a list that does not close: {text!r}")
    inner = inner.removeprefix("[").removesuffix("]").strip()
    items: list[str] = []
    while inner:
        found = _QUOTED.match(inner) or _BARE.match(inner)
        if found is None or (found["comma"] and not found["rest"]) or _STUCK.search(found["item"]):
            raise DataError(where, f"cannot be read as a list: {text!r}", expected="['a', 'b']")
        items.append(found["item"].strip().lower())
        inner = found["rest"].strip()
    if any(not item for item in items):
        raise DataError(where, f"an empty item in the list {text!r}")
    return list(dict.fromkeys(items))


# An item ends at a comma or at the end; a quoted one at the first mark with either after it.
_END = r"\s*(?:(?P<comma>,)|$)(?P<rest>.*)$"
_QUOTED = re.compile(rf"(?P<mark>['\"])(?P<item>.*?)(?P=mark){_END}", re.DOTALL)
_BARE = re.compile(rf"(?P<item>[^'\",\[\]][^\",\[\]]*){_END}", re.DOTALL)
# Two quoted items without a comma between them, as NumPy prints arrays: not to be joined.
_STUCK = re.compile(r"['\"]\s+['\"]")
