"""Values that up converted, cast back to their old type: do they give what was there before?

Asked under every time zone that the project's sessions use: a row is lost only if no zone gives its old value back.
All of it happens in a transaction that is taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.engines._postgresql_comparison import Comparison, is_unique
from seatrial.engines._postgresql_diff import in_whole_tables, order, side
from seatrial.engines._postgresql_layout import Column, form
from seatrial.engines._postgresql_session import SHADOWS, Session, literal
from seatrial.errors import DatabaseError
from seatrial.model import CastBack, ChangedRow

_NO_CAST = ("42846", "42804")  # cannot_coerce, datatype_mismatch
_HELPER = f"{SHADOWS}.cast_back"


def cast_backs(
    session: Session, c: Comparison, columns: Sequence[tuple[str, str]], zones: Sequence[str]
) -> Iterator[CastBack]:
    """One answer a column; columns that lose nothing are left out."""
    if c.old is None or c.new is None or not c.old.relation or not c.new.relation:
        return
    olds = {x.name: x for x in c.old.layout.columns}
    news = {x.name: x for x in c.new.layout.columns}
    for old_name, new_name in columns:
        if old_name in olds and new_name in news:
            session.rows("BEGIN")
            try:
                found = _Conversion(session, in_whole_tables(session, c), olds[old_name], news[new_name]).losses(
                    [*zones, "UTC"]
                )
            finally:
                session.rows("ROLLBACK")
            if found is not None:
                yield found


class _Conversion:
    """One column's way there and back, inside a transaction."""

    def __init__(self, session: Session, c: Comparison, old: Column, new: Column) -> None:
        self.session, self.c, self.old, self.new = session, c, old, new

    def losses(self, zones: Sequence[str]) -> CastBack | None:
        self._match_rows()
        back = self._way_back()
        if back is None:
            return self._answer("NULL", zones, possible=False)
        for zone in dict.fromkeys(zones):
            self.session.rows(f"SET LOCAL timezone TO {literal(zone)}")
            try:
                self._strike_off(back)
            except DatabaseError:
                back = self._helper(back)
                self.session.rows(f"SET LOCAL timezone TO {literal(zone)}")
                self._strike_off(back)
        return self._answer(back, zones, possible=True)

    def _match_rows(self) -> None:
        """Rows that both moments have and that held a value, by place; without a key, by their whole order."""
        c = self.c
        if c.key:
            unique = is_unique(c)
            join = " AND ".join(f"o.k{i} = n.k{i}" for i in range(len(c.key) if unique else 2))
            olds, news = side(c, False, unique), side(c, True, unique)
            matched = f"SELECT o.t AS o_at, n.t AS n_at FROM {olds} o JOIN {news} n ON {join}"
        else:
            matched = self._matched_without_key()
        self.session.rows(f"CREATE TEMP TABLE seatrial_c ON COMMIT DROP AS {matched}")
        self.session.rows(
            f"DELETE FROM seatrial_c m USING {self._old_relation} o WHERE o.ctid = m.o_at AND "
            f"o.{self.old.shadow} IS NULL"
        )
        self.session.rows("SAVEPOINT seatrial_cast")

    def _matched_without_key(self) -> str:
        """Rows alike in all columns that kept their form are taken in one order on both sides."""
        alike = [k for k in self.c.columns if k.alike and k.name != self.old.name]
        sides = []
        for new in (False, True):
            shadow = self.c.new if new else self.c.old
            assert shadow is not None
            own = self.new if new else self.old
            texts = [x.text("x") for k in alike if (x := k.new if new else k.old)]
            same = f"ARRAY[{', '.join(texts)}]" if texts else "ARRAY[]::text[]"
            sides.append(
                f'(SELECT x.ctid AS t, {same} COLLATE "C" AS k, row_number() OVER'
                f' (PARTITION BY {same} COLLATE "C" ORDER BY {own.ordered("x")}) AS i FROM {shadow.wide} x)'
            )
        return f"SELECT o.t AS o_at, n.t AS n_at FROM {sides[0]} o JOIN {sides[1]} n ON o.k = n.k AND o.i = n.i"

    @property
    def _old_relation(self) -> str:
        assert self.c.old is not None
        return self.c.old.wide

    @property
    def _new_relation(self) -> str:
        assert self.c.new is not None
        return self.c.new.wide

    def _exists(self, column: Column) -> bool:
        return self.session.value(f"SELECT to_regtype({literal(column.type)})") is not None

    def _way_back(self) -> str | None:
        """The new value as the old type in the form in which a shadow keeps it, or None where there is no cast."""
        value = f"n.{self.new.shadow}"
        if self.new.base == "text" and self._exists(self.new):
            value = f"({value})::{self.new.type}"
        if self._exists(self.old):
            value = f"(({value})::{self.old.type})"
        elif self.old.base == "text":  # up dropped the type: its texts have to be there still
            return self.new.text("n")
        back = form(self.old.kept, value)  # of a domain that is dropped: its base type's form
        try:
            self.session.rows(f"SELECT {back} FROM {self._new_relation} n LIMIT 0")
        except DatabaseError as error:
            self.session.rows("ROLLBACK TO SAVEPOINT seatrial_cast")
            if error.code in _NO_CAST:
                return None
            raise
        return back

    def _strike_off(self, back: str) -> None:
        """Take out the rows whose old value comes back under the zone that is set."""
        self.session.rows(
            f"DELETE FROM seatrial_c m USING {self._old_relation} o, {self._new_relation} n"
            f" WHERE o.ctid = m.o_at AND n.ctid = m.n_at"
            f" AND {self.old.exactly('o')} IS NOT DISTINCT FROM {form(self.old.exact, f'({back})')}"
        )

    def _helper(self, back: str) -> str:
        """A value that the cast refuses is a loss of its row only: the refusal becomes NULL."""
        self.session.rows("ROLLBACK TO SAVEPOINT seatrial_cast")
        body = (
            f"DECLARE found {self._kept_type()}; BEGIN found := {back}; RETURN found;"
            " EXCEPTION WHEN data_exception OR integrity_constraint_violation OR invalid_text_representation"
            " THEN RETURN NULL; END"
        )
        self.session.rows(
            f"CREATE FUNCTION {_HELPER}(n {self._new_relation}) RETURNS {self._kept_type()}"
            f" LANGUAGE plpgsql STABLE AS {literal(body)}"
        )
        return f"{_HELPER}(n)"

    def _kept_type(self) -> str:
        return "text" if self.old.base == "text" else f'pg_catalog."{self.old.base}"'

    def _answer(self, back: str, zones: Sequence[str], *, possible: bool) -> CastBack | None:
        count = int(self.session.value("SELECT count(*) FROM seatrial_c") or 0)
        if not count:
            return None
        self.session.rows(f"SET LOCAL timezone TO {literal(zones[0])}")
        key = [k.old for k in self.c.key] or [k.old for k in self.c.columns]
        shown = [f"o.{k.shadow}" for k in key if k]
        shown += [f"o.{self.old.shadow}", f"({back})"]
        rows = self._examples(shown)
        return CastBack(
            table=self.c.pair.old,
            column=self.old.name,
            count=count,
            rows=tuple(ChangedRow(key=r[:-2], old=(r[-2],), new=(r[-1],)) for r in rows),
            possible=possible,
        )

    def _examples(self, shown: Sequence[str]) -> list[tuple[str | None, ...]]:
        """The first of the rows, as text in the fixed session whatever zone they were cast under."""
        ordered = order(self.c, False, "o")
        self.session.rows(
            f"CREATE TEMP TABLE seatrial_e ON COMMIT DROP AS SELECT row_number() OVER (ORDER BY {ordered}),"
            f" {', '.join(f'{s} AS e{i}' for i, s in enumerate(shown))} FROM seatrial_c m"
            f" JOIN {self._old_relation} o ON o.ctid = m.o_at JOIN {self._new_relation} n ON n.ctid = m.n_at"
            f" ORDER BY 1 LIMIT {self.c.limit}"
        )
        self.session.rows("SET LOCAL timezone TO 'UTC'")
        names = ", ".join(f"e{i}" for i in range(len(shown)))
        return self.session.rows(f"SELECT {names} FROM seatrial_e ORDER BY row_number")
