"""Print, in one run, what Seatrial costs: ``python -m benchmarks [NAME]... [--rows N] [--repeat N] [--engine NAME]...``

    tables      snapshots, proofs and comparisons of one big table, against a reference read beside them
    alembic100  100 small Alembic migrations: a whole run beside plain Alembic, pytest-mrt and pytest-alembic
    many_tables a migration of one small table among 50 that hold ten million rows
    going_back  a database brought back from its checkpoint, beside making it anew, and beside MySQL's CLONE
    corpus      the score on tests/corpus

Nothing is asserted: a machine under load gives other seconds; the ratios are of one run.
"""

from __future__ import annotations

import argparse
import datetime

from benchmarks import alembic100, common, corpus, going_back, many_tables, tables

ALL = {
    "tables": tables.main,
    "alembic100": alembic100.main,
    "many_tables": many_tables.main,
    "going_back": going_back.main,
    "corpus": corpus.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*ALL, []], metavar="NAME", help=f"{', '.join(ALL)}; default: all")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the big table [1000000]")
    parser.add_argument("--many-rows", type=int, default=10_000_000, help="rows of the 50 tables together [10000000]")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, taken in turn [3]")
    parser.add_argument("--engine", action="append", choices=list(tables.DIALECTS), help="default: each one's own")
    args = parser.parse_args()
    chosen = {"engines": tuple(args.engine)} if args.engine else {}
    print(f"# Seatrial, {datetime.date.today().isoformat()}: {common.machine()}", flush=True)
    print("\nTimes are medians of repetitions taken in turn; processor seconds of all processes in brackets.")
    for name in args.names or ALL:
        ALL[name](**chosen, rows=args.rows, many_rows=args.many_rows, repeat=args.repeat)


if __name__ == "__main__":
    main()
