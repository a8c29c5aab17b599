"""Tables as they stand in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def markdown_table(lines: Sequence[Mapping[str, object]]) -> str:
    """Return lines with equal keys as a Markdown table, padded so that it reads as text too."""
    if not lines:
        return "(nothing)"
    names = list(lines[0])
    cells = [[str(line[name]) for name in names] for line in lines]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]

    def joined(values: Sequence[str]) -> str:
        return "| " + " | ".join(v.ljust(w) for v, w in zip(values, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([joined(names), rule, *(joined(c) for c in cells)])
