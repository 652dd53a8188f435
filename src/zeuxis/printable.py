"""Text from files as a terminal may be given it: names and descriptions that others wrote must not
steer it."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and line feed, separators of lines and paragraphs, marks that turn the
# direction of writing, surrogates.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str, lines: bool = True) -> str:
    r"""The text with characters that would steer a terminal written as escapes, as Python's `repr`
    does.

    Arguments:
        text: Anything.
        lines: Keep tabs and line ends, which belong to longer texts; without it they are escaped as
            well.

    Example:
        >>> printable("cat\x1b[2J\u202egnp.exe")
        'cat\\x1b[2J\\u202egnp.exe'
        >>> printable("one\ntwo", lines=False)
        'one\\ntwo'
    """
    if text.isprintable():
        return text
    found = STEERING.sub(escaped, text)
    return found if lines else found.replace("\n", "\\n").replace("\t", "\\t")


def escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
