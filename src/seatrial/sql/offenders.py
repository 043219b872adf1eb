"""SQL that finds the rows which do not meet a demand, and that brings them in line: as each engine writes it. Pure."""

from __future__ import annotations

from seatrial.model import Schema, TableRef
from seatrial.sql.demands import Demand
from seatrial.sql.remedy import MYSQL, of, quoted
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Offenders:
    find: str  # empty: all rows of the table
    fixes: tuple[str, ...] = ()  # an UPDATE in which ``...`` stands for a value of one's own; a DELETE


def offenders(demand: Demand, schema: Schema, dialect: str) -> Offenders | None:
    """``schema``: what the tables' keys are; None where a parent's is not known."""
    if demand.new:
        value = f"{quoted(demand.columns[0], dialect)} = ..."
        return Offenders("", (f"UPDATE {of(demand.table, dialect)} SET {value}",))
    if demand.kind == "unique":
        return _twice(demand, schema, dialect)
    condition = _broken(demand, schema, dialect)
    if not condition:
        return None
    mine = of(demand.table, dialect)
    shown = list(dict.fromkeys((*_key(schema, demand.table), *_stored(demand, schema))))
    names = ", ".join(quoted(c, dialect) for c in shown) or "*"
    delete = f"DELETE FROM {mine} WHERE {condition}"
    fixes = [u for u in [_update(demand, condition, schema, dialect)] if u]
    again = dialect in MYSQL and demand.parent == demand.table  # its DELETE does not read its own table (error 1093)
    return Offenders(f"SELECT {names} FROM {mine} WHERE {condition}", (*fixes, *([] if again else [delete])))


def _stored(demand: Demand, schema: Schema) -> list[str]:
    """A function's name in a check is no column."""
    known = schema.columns(demand.table)
    return [c for c in demand.columns if c in known or not known]


def _broken(demand: Demand, schema: Schema, dialect: str) -> str:
    """The condition that the rows meet which do not fit."""
    if demand.kind == "not null":
        return f"{quoted(demand.columns[0], dialect)} IS NULL"
    if demand.kind == "check":
        return f"NOT ({demand.condition})" if demand.condition else ""
    parent = demand.parent
    referenced = demand.referenced or (_key(schema, parent) if parent else ())
    if parent is None or len(referenced) != len(demand.columns):
        return ""
    mine, alias = of(demand.table, dialect), "p" if demand.table.name != "p" else "parent"
    filled = " AND ".join(f"{quoted(c, dialect)} IS NOT NULL" for c in demand.columns)
    pairs = zip(referenced, demand.columns, strict=True)
    same = " AND ".join(f"{alias}.{quoted(r, dialect)} = {mine}.{quoted(c, dialect)}" for r, c in pairs)
    return f"{filled} AND NOT EXISTS (SELECT 1 FROM {of(parent, dialect)} {alias} WHERE {same})"


def _update(demand: Demand, condition: str, schema: Schema, dialect: str) -> str:
    columns = _stored(demand, schema)
    known = schema.columns(demand.table)
    loose = [c for c in columns if known.get(c, {}).get("nullable") is not False]
    if demand.kind == "foreign key" and (not loose or (dialect in MYSQL and demand.parent == demand.table)):
        return ""
    value = "NULL" if demand.kind == "foreign key" else "..."
    column = (loose if demand.kind == "foreign key" else columns)[:1]
    set_ = f"{quoted(column[0], dialect)} = {value}" if column else ""
    return f"UPDATE {of(demand.table, dialect)} SET {set_} WHERE {condition}" if set_ else ""


def _twice(demand: Demand, schema: Schema, dialect: str) -> Offenders:
    """Values that several rows hold; NULLs are no such values. The first row by its key may stay."""
    mine, terms = of(demand.table, dialect), ", ".join(demand.terms)
    filled = [f"{t} IS NOT NULL" for t in demand.terms]
    where = " AND ".join([*filled, *([f"({demand.condition})"] if demand.condition else [])])
    find = f"SELECT {terms}, count(*) FROM {mine} WHERE {where} GROUP BY {terms} HAVING count(*) > 1"
    key = _key(schema, demand.table)
    if not key or demand.terms != tuple(quoted(c, dialect) for c in demand.columns) or demand.condition:
        return Offenders(find)
    return Offenders(find, (_delete_later(demand, key, dialect),))


def _delete_later(demand: Demand, key: tuple[str, ...], dialect: str) -> str:
    """MySQL reads the table that it deletes from in a join only (manual, 15.2.2)."""
    mine = of(demand.table, dialect)
    it, o = "t" if dialect in MYSQL else mine, "o" if demand.table.name != "o" else "other"
    names = [quoted(c, dialect) for c in demand.columns]
    same = " AND ".join(f"{o}.{c} = {it}.{c}" for c in names)
    keys = [quoted(c, dialect) for c in key]
    one, other = (", ".join(f"{a}.{c}" for c in keys) for a in (o, it))
    before = f"({one}) < ({other})" if len(keys) > 1 else f"{one} < {other}"
    if dialect in MYSQL:
        return f"DELETE t FROM {mine} t JOIN {mine} {o} ON {same} AND {before}"
    return f"DELETE FROM {mine} WHERE EXISTS (SELECT 1 FROM {mine} {o} WHERE {same} AND {before})"


def _key(schema: Schema, table: TableRef) -> tuple[str, ...]:
    """The columns of the primary key."""
    for key, attributes in schema.items():
        if key.owner == table and "primary key" in (key.kind, attributes.get("type")):
            columns = attributes.get("columns")
            return tuple(str(c) for c in columns) if isinstance(columns, tuple) else ()
    return ()
