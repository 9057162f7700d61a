"""How Telegram reads a message's markup: which HTML it takes, and the text that a person then sees.

It must never be lenient: an unknown tag, one that is left open or a bare `<` is refused by the real server.
"""

import re
from html import unescape

CAPTION_CHARS_MAX = 1_024
TEXT_CHARS_MAX = 4_096
TAGS = frozenset({"b", "strong", "i", "em", "u", "s", "code", "pre", "blockquote", "tg-spoiler"})

_TAG = re.compile(r"<(/?)([a-z-]+)>")


def shown(text: str, parse_mode: str) -> str | None:
    """Return what a person sees, None when the server cannot parse it."""
    if not parse_mode:
        return text
    assert parse_mode == "HTML", "nothing here writes any other markup"
    still_open: list[str] = []
    for closing, tag in _TAG.findall(text):
        if tag not in TAGS:
            return None
        if not closing:
            still_open.append(tag)
        elif not still_open or still_open.pop() != tag:
            return None
    without = _TAG.sub("", text)
    return None if still_open or "<" in without else unescape(without)
