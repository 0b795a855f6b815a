"""`fsig-bench` and `python -m fsig_bench`: one run, a sweep with -m, or the work of a word."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from importlib import import_module

from fsig_bench.help import WORDS, asks_for_help, nearest, usage, word_usage


def main(words: list[str] | None = None) -> int:
    """Does what the command says; returns its exit status.

    Args:
        words: what follows the program's name; None: those of this process.
    """
    shorten_waits(os.environ)
    try:
        return dispatch(sys.argv[1:] if words is None else words)
    except KeyboardInterrupt:  # before a room could say what goes on
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")
        return 141  # 128 + SIGPIPE


def shorten_waits(environment: MutableMapping[str, str]) -> None:
    """Lets a thread sleep soon when it waits for one that another program keeps off its core.

    GNU's OpenMP reads GOMP_SPINCOUNT when torch is imported; its own value is 300,000. A user's
    settings stay. tests/bench/openmp_waits.py measures what this is worth.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", "1000")


def dispatch(words: list[str]) -> int:
    """Hands the words to the room that does their work."""
    first = words[0] if words else "--help"
    if first in WORDS:
        if asks_for_help(words):
            print(word_usage(first))
            return 0
        from fsig_bench.console import exit_status

        return exit_status(import_module(WORDS[first]).main, words[1:])
    if not words or asks_for_help(words):
        from fsig_bench.api.places import CONF

        print(usage(CONF))
        return 0
    if first.isidentifier():
        hint = nearest(first, list(WORDS)) or f" The words are {', '.join(WORDS)}."
        print(f"error: there is no word {first!r}.{hint}", file=sys.stderr)
        return 1
    from fsig_bench.cli import run_command

    return run_command(words)


if __name__ == "__main__":
    sys.exit(main())
