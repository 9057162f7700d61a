"""Text from outside as it can be kept: what no database column and no UTF-8 can hold is replaced.

Pure. Where a person's words matter more than their last character (a reason, an alert), they are mended and
not refused. It must never change a text that is fine.
"""

import re
from collections.abc import Mapping

REPLACEMENT = "\ufffd"

_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def storable(text: str) -> str:
    """Return `text` with each control character and lone surrogate replaced; lines and tabs stay."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def without_surrogates(value: object) -> object:
    """Return a JSON document whose texts can all be written as UTF-8."""
    if isinstance(value, str):
        return _SURROGATE.sub(REPLACEMENT, value)
    if isinstance(value, Mapping):
        return {str(without_surrogates(name)): without_surrogates(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(each) for each in value]
    return value
