# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of text with cells that wrap."""

import textwrap


def render(head, rows, widths):
    """Lines of a table.

    :param head: titles of the columns
    :param rows: tuples of strings
    :param widths: the width at which each column wraps
    """
    def wrap(text, width):
        return textwrap.wrap(text, width, break_on_hyphens=False) or [""]

    used = [max(len(line) for row in (head, *rows)
                for line in wrap(row[i], width))
            for i, width in enumerate(widths)]

    def lines(row):
        cells = [wrap(text, width) for text, width in zip(row, widths)]
        for i in range(max(map(len, cells))):
            yield "  ".join((cell[i] if i < len(cell) else "").ljust(width)
                            for cell, width in zip(cells, used)).rstrip()

    rule = "  ".join("-" * width for width in used)
    out = [*lines(head), rule]
    for row in rows:
        out += lines(row)
    return out
