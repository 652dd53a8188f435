"""Makes text from files safe to print: it must not control the terminal."""

from __future__ import annotations

import re

# C0 and C1 controls except tab and line feed, line and paragraph separators, marks that change the
# direction of writing, and surrogates.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str, lines: bool = True) -> str:
    r"""Escapes characters that would control a terminal, as Python's `repr` does.

    Arguments:
        text: Any text.
        lines: Whether to keep tabs and line ends, as in longer texts, or to escape them too.

    Example:
        >>> printable("cat\x1b[2J\u202egnp.exe")
        'cat\\x1b[2J\\u202egnp.exe'
        >>> printable("one\ntwo", lines=False)
        'one\\ntwo'
    """
    if text.isprintable():
        return text
    text = STEERING.sub(lambda match: ascii(match[0])[1:-1], text)
    return text if lines else text.replace("\n", "\\n").replace("\t", "\\t")
