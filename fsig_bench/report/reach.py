"""`fsig-bench report published`: how many printed numbers can be run whole, and what others lack.

A number can be run whole where its method, source model, target set and metric are in this harness
and the protocol that it was scored under is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fsig_bench.report.published import Names, Published, load_names, load_published
from fsig_bench.words import parse_words

# In this order a number is counted under the first part that it lacks.
LACKS: Mapping[str, Callable[[Published, Names], bool]] = {
    "a text-to-image model (out of scope)": lambda row, n: n.sources[row.source_domain] == "text",
    "its source model": lambda row, n: n.sources[row.source_domain] == "absent",
    "its target set": lambda row, n: row.dataset is None,
    "its metric": lambda row, n: row.harness_metric is None,
    "a known protocol": lambda row, n: n.families[row.family].protocol is None,
    "its method": lambda row, n: row.harness_method is None,
}


def lacking(row: Published, names: Names) -> list[str]:
    """What a printed number lacks to be run whole; nothing where it can be."""
    return [part for part, absent in LACKS.items() if absent(row, names)]


def reach_lines(rows: Sequence[Published], names: Names) -> list[str]:
    """The Markdown table of what can be run, and below it the same by method.

    Args:
        rows: printed numbers, at least one.
        names: what their names are in this harness.
    """
    missing = [lacking(row, names) for row in rows]
    whole = [row for row, parts in zip(rows, missing, strict=True) if not parts]
    first = Counter(parts[0] for parts in missing if parts)
    alone = Counter(parts[0] for parts in missing if len(parts) == 1)

    def line(what: str, count: int, more: object) -> str:
        return f"| {what} | {count} | {100 * count / len(rows):.1f} % | {more} |"

    out = ["| printed numbers | count | share | of these lack nothing else |", "|---|--:|--:|--:|"]
    out += [line("can be run whole", len(whole), "")]
    out += [line(f"lack {part}", first[part], alone[part]) for part in LACKS]
    out += [line("all", len(rows), "")]
    by_method = Counter((row.method, row.harness_method) for row in whole)
    named = [f"{name} {n} (`{ours}`)" for (name, ours), n in sorted(by_method.items())]
    return [*out, "", f"Run whole: {', '.join(named) or 'none'}."]


def main(words: Sequence[str]) -> int:
    """Prints the table.

    Raises:
        ValueError: a word is there that the command does not know, or the numbers are damaged.
    """
    parse_words(words, word="report published", keys=())
    print("\n".join(reach_lines(load_published(), load_names())))
    return 0
