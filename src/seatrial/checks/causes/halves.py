"""Why a step that failed left what it had done by then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.checks.case import Case, Cause, listed, n, shorten, stated
from seatrial.model import ObjectKey, Schema, Step, TableRef
from seatrial.prose import span
from seatrial.sql.look import is_ddl, names_in, says, words_of
from seatrial.sql.remedy import MYSQL

_COMMITS = ("COMMIT", "END")
_READS = frozenset(["SELECT", "SET", "SHOW", "PRAGMA", "EXPLAIN", "USE", "BEGIN", "START"])


def why_it_stands(case: Case, step: Step, labels: Sequence[str], tables: Sequence[TableRef]) -> Iterator[Cause]:
    """Why what ran before the failing statement is not undone; the first that fits."""
    dialect = case.trial.engine
    done = _before_the_failure(step)
    yield from (
        _index_built_apart(step, labels, dialect)
        or _committed_itself(step, done, dialect)
        or _committed_by_ddl(case, step, done)
        or _kept_by_the_storage_engine(case, tables)
        or _committed_one_by_one(step, done, dialect)
    )


def _before_the_failure(step: Step) -> list[str]:
    """What ran to its end. The refused statement stands last, where it stands in the list at all."""
    sent = [s.sql for s in step.statements if not s.undone or s.sql == (step.error.statement if step.error else "")]
    failed = step.error.statement if step.error else ""
    return sent[:-1] if sent and failed and shorten(sent[-1], 60) == shorten(failed, 60) else sent


def _index_built_apart(step: Step, labels: Sequence[str], dialect: str) -> list[Cause]:
    failed = step.error.statement if step.error else ""
    index = [label for label in labels if label.startswith("index ")]
    if not (index and says(failed, dialect, "INDEX", "CONCURRENTLY")):
        return []
    name = index[0].removeprefix("index ")
    return [
        Cause(
            f"{stated(failed)} works in transactions of its own and leaves its invalid index behind when it fails",
            f"Correct the rows, then {span(f'DROP INDEX CONCURRENTLY {name}')}, and build it again; keep it the only"
            " statement of its migration.",
        )
    ]


def _committed_itself(step: Step, done: Sequence[str], dialect: str) -> list[Cause]:
    own = [i for i, s in enumerate(done) if words_of(s, dialect)[:1] and words_of(s, dialect)[0] in _COMMITS]
    if not own:
        return []
    before = _work(done[: own[-1]], dialect)
    return [
        Cause(
            f"the migration commits by itself ({stated(done[own[-1]])}) before the statement that fails:"
            f" {_stands(before)}",
            f"Take {stated(done[own[-1]])} out, so that the tool's one transaction holds all of it.",
        )
    ]


def _committed_by_ddl(case: Case, step: Step, done: Sequence[str]) -> list[Cause]:
    """MySQL manual, 15.3.3: statements that cause an implicit commit."""
    ddl = [s for s in done if is_ddl(s, case.trial.engine)]
    if case.trial.engine not in MYSQL or not ddl:
        return []
    name = "MariaDB" if case.trial.engine == "mariadb" else "MySQL"
    failed = step.error.statement if step.error else ""
    rest = f" and {stated(failed, 60)} into the one behind it" if failed else ""
    return [
        Cause(
            f"{name} commits around each DDL statement, so no ROLLBACK takes {stated(ddl[-1])} back:"
            f" {_stands(_work(done, case.trial.engine))}",
            f"{name} has no transactional DDL: put {stated(ddl[-1], 60)} into a migration of its own{rest}, so that"
            " a second attempt begins where the first stopped.",
        )
    ]


def _kept_by_the_storage_engine(case: Case, tables: Sequence[TableRef]) -> list[Cause]:
    schema = case.before.schema if case.trial.before else Schema()
    engines = {t: str(schema.get(ObjectKey.of_table(t), {}).get("engine") or "") for t in tables}
    loose = {t: e for t, e in engines.items() if e.lower() in ("myisam", "aria", "memory", "csv", "archive")}
    if not loose:
        return []
    table, engine = next(iter(loose.items()))
    return [
        Cause(
            f"{table} is a table of {engine}, which keeps every row that was written by then: it knows no ROLLBACK",
            f"Convert it first ({span(f'ALTER TABLE {table} ENGINE = InnoDB')}), in a migration of its own.",
        )
    ]


def _committed_one_by_one(step: Step, done: Sequence[str], dialect: str) -> list[Cause]:
    work = _work(done, dialect)
    if step.in_transaction or not step.statements_observed or not work:
        return []
    free = [s for s in (*done, step.error.statement if step.error else "") if _only_outside(s, dialect)]
    needs, advice = "", "Let the migration run in one transaction."
    if free:
        text = shorten(free[0], 60)
        needs = f" ({span(text)} cannot run in one)"
        advice = f"Give {span(text)} a migration of its own outside a transaction, and let the rest run in one."
    return [
        Cause(
            f"the migration runs outside a transaction{needs}, where each statement is committed by itself:"
            f" {_stands(work)}",
            advice,
        )
    ]


def _only_outside(statement: str, dialect: str) -> bool:
    """PostgreSQL manual: CREATE INDEX CONCURRENTLY, VACUUM ... cannot run inside a transaction block."""
    found = words_of(statement, dialect)
    return "CONCURRENTLY" in found or found[:1] == ["VACUUM"]


def _work(statements: Sequence[str], dialect: str) -> list[str]:
    """Those that change something."""
    found = ((s, words_of(s, dialect)[:1]) for s in statements)
    return [s for s, first in found if first and first[0] not in _READS and first[0] not in _COMMITS]


def _stands(done: Sequence[str]) -> str:
    if not done:
        return "what ran before it stands"
    verb = "stands" if len(done) == 1 else "stand"
    return f"{listed([stated(s, 60) for s in done], 3)} {verb}"


def done_twice(case: Case, step: Step, tables: Sequence[TableRef]) -> Iterator[Cause]:
    """What the second up had done when it was refused."""
    dialect = case.trial.engine
    work = _work(_before_the_failure(step), dialect)
    mine = [s for s in work if any(names_in(s, t.name, dialect) for t in tables)] or work
    if mine:
        failed = shorten(step.error.statement, 60) if step.error else ""
        yield Cause(
            f"{n(len(work), 'statement')} {'runs' if len(work) == 1 else 'run'} before the one that is refused, and"
            f" {'does' if len(work) == 1 else 'do'} again what the first up had done: {_stands(mine)}",
            f"Put {span(failed)} first, or guard {stated(mine[0], 60)} by what it leaves behind.",
        )
