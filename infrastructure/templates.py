"""Configuration templates: texts with ${PHOENIX_…} placeholders. Pure: it must never read or write a file."""

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$\{(PHOENIX_[A-Z_]+)\}")


def fill_template(text: str, values: Mapping[str, str]) -> str:
    """Replace every ${PHOENIX_…}; nginx's own $variables stay. An unknown placeholder is a KeyError."""
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], text)
