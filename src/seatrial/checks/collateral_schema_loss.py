"""collateral-schema-loss."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, listed, shorten
from seatrial.checks.causes.objects import lost_beside
from seatrial.checks.inherited import origins, repeats
from seatrial.checks.schema_restored import as_before, said
from seatrial.checks.shown import schema_sql
from seatrial.model import Attribute, Attributes, NotVerified, ObjectKey, Phase, Schema, Severity, TableRef
from seatrial.schema import Difference, diff, renamed
from seatrial.sql.intent import ACTIONS
from seatrial.sql.look import words_of
from seatrial.sql.rename import names_in, normalise, rename_in
from seatrial.sql.tokens import code, quote_name

NO_ACTION = ("NO ACTION", "RESTRICT", "SIMPLE", "NONE", False)  # what a foreign key has that says nothing of it
KINDS = {
    "table", "column", "constraint", "primary key", "unique", "foreign key", "check", "index", "trigger", "view",
    "materialized view", "policy", "row security", "grant", "rule", "function", "procedure",
}  # fmt: skip


@check("collateral-schema-loss", Severity.HIGH)
def collateral_schema_loss(case: Case) -> Found:
    """Up lost or changed an object or an attribute that no statement names, while what it rests on is still there.

    A table that is rebuilt forgets its triggers, grants, policies and the actions of its foreign keys; MODIFY forgets
    DEFAULT, COMMENT and AUTO_INCREMENT; DROP COLUMN takes a composite index with it and, with CASCADE, a view. An equal
    definition under another name is not lost.

    What to do: declare in the rebuilt table, or create again at the end of up, what the finding names; or drop it by
    a statement that says so.
    """
    if not case.up_ran:
        return
    groups: dict[TableRef | None, list[Difference]] = {}
    for change in _lost(case):
        groups.setdefault(change.key.owner, []).append(change)
    for table, changes in sorted(groups.items(), key=lambda item: str(item[0] or "")):
        if case.up.opaque:
            why = f"what this statement does cannot be told from its text: {shorten(case.up.opaque[0])}"
            labels = listed(c.key.label for c in changes)
            yield NotVerified(
                what=f"whether the change of {labels} was asked for", why=why, rule="collateral-schema-loss"
            )
            continue
        yield finding(
            case,
            "collateral-schema-loss",
            Severity.HIGH,
            Phase.UP,
            f"After up {said(changes)}, although no statement says so.",
            table=table,
            columns=[c.key.name for c in changes if c.key.kind == "column"],
            objects=[*(c.key.label for c in changes), *_new_labels(case, changes)],
            causes=lost_beside(case, changes),
            recommendation=_advice([c.key.label for c in changes]),
            sql=schema_sql(case, _after_up(case, changes), case.after_up),
            count=len(changes),
        )


def _new_labels(case: Case, changes: Sequence[Difference]) -> list[str]:
    """What is there under another name after up answers to both."""
    now = _followed(case)
    return [now[c.key][0].label for c in changes if c.new is not None and c.key in now]


def _after_up(case: Case, changes: Sequence[Difference]) -> list[ObjectKey]:
    """What the objects are, or would be, called after up."""
    now = _followed(case)
    return [now[c.key][0] if c.key in now else c.key for c in changes]


def _advice(labels: Sequence[str]) -> str:
    them = "it is" if len(labels) == 1 else "they are"
    again = f"Create {listed(labels, 4)} again {as_before(labels)} in the same migration"
    return f"{again}, or say in a statement that {them} to go."


def _lost(case: Case) -> Iterator[Difference]:
    """Objects of before up, followed to their names after up, that are missing or otherwise without being asked for."""
    before, after = case.before.schema, case.after_up.schema
    expected = _followed(case)
    changes = {d.key: d for d in diff(_comparable(case, dict(expected.values())), _comparable(case, after))}
    twins = renamed(changes.values())
    fresh = [d for d in changes.values() if d.old is None]
    by_old = {old: changes[new] for old, (new, _) in expected.items() if new in changes}
    for old, (new, attributes) in expected.items():
        change = changes.get(new)
        if change is None or new in twins or old.kind not in KINDS or not _rests(case, old, before[old]):
            continue
        if repeats(before, Difference(old, change.old, change.new), by_old):
            continue
        if change.new is None and any(_takes_its_place(new, attributes, other) for other in fresh):
            continue
        if change.new is None and any(_is_renamed(case, new, other.key) for other in fresh):
            continue
        if change.new is None and _is_dropped_copy(case, old, attributes):
            continue
        if change.new is None and old.kind not in ("table", "column") and not _is_named(case, old, attributes):
            yield Difference(old, before[old], None)
        elif change.new is not None and (unsaid := _unsaid(case, old, change)):
            yield Difference(old, *({**before[old], **{n: side[i] for n, side in unsaid.items()}} for i in (0, 1)))


def _is_named(case: Case, key: ObjectKey, attributes: Attributes) -> bool:
    """Whether a statement names the object; a foreign key that is only declared anew, without its action, is not.

    Naming a parent's object names its copies, and what detaches a partition takes away what it had from the parent.
    """
    actions = [a for a in ACTIONS if attributes.get(a) not in (None, *NO_ACTION)]
    known = origins(case.before.schema, key)
    named = any(case.up.names_object(k) and all(case.up.states_attribute(k, a) for a in actions) for k in known)
    return named or _leaves_with_type(case, key) or (len(known) > 1 and _is_detached(case, key))


def _leaves_with_type(case: Case, key: ObjectKey) -> bool:
    """Whether a check is part of a column's type, and a statement gives the column a type."""
    table, attributes = key.owner, case.before.schema[key]
    if table is None or not attributes.get("by_type"):
        return False
    return any(case.up.alters_column_type(table, c) for c in _columns_under(case, table, attributes))


def _of_type(case: Case, key: ObjectKey) -> set[str]:
    """The column's attributes that its type said, where a statement gives it a type: JSON on MariaDB is utf8mb4_bin."""
    if key.kind != "column" or key.owner is None:
        return set()
    mine = case.before.schema[key].get("by_type")
    return {"charset", "collation"} if mine and case.up.alters_column_type(key.owner, key.name) else set()


def _is_detached(case: Case, key: ObjectKey) -> bool:
    """Whether the object's table, or one that it is a partition of, leaves its parent or comes to another."""
    tables = case.family(key.owner) if key.owner else []
    return any(case.up.states_attribute(ObjectKey.of_table(t), "inherits") for t in tables)


def _is_renamed(case: Case, key: ObjectKey, other: ObjectKey) -> bool:
    """A function's name says its arguments' types, which may be called otherwise now."""
    return (key.kind, key.table) == (other.kind, other.table) and case.up.only_renamed(key.name, other.name)


def _is_dropped_copy(case: Case, key: ObjectKey, attributes: Attributes) -> bool:
    """Whether up drops the copy of an index that LIKE ... INCLUDING INDEXES made for the table in the old one's place.

    PostgreSQL calls it after the new table and the columns (manual, CREATE TABLE: LIKE), a name that stood nowhere.
    """
    if key.kind != "index" or key.owner is None or not case.up.rebuilds(key.owner):
        return False
    end = "_".join(["", *_texts(attributes.get("columns")), "idx"])
    dialect, known = case.trial.engine, {k.name for k in case.before.schema if k.kind == "index"}
    drops = (s for s in case.up.statements if words_of(s, dialect)[:2] == ["DROP", "INDEX"])
    return any(t.name.endswith(end) and t.name not in known for s in drops for t in code(s, dialect) if t.name)


def _moving(case: Case) -> frozenset[str]:
    """Schemas that tables left or came to: every definition that names such a table says another schema since."""
    moved = [(a, b) for a, b in case.trial.renames.tables if a.namespace != b.namespace]
    pairs = [(a.namespace, b.namespace) for a, b in moved] + list(case.up.moves_schemas().items())
    return frozenset(name or "public" for pair in pairs for name in pair)  # pg_get_indexdef names the default one too


def _comparable(case: Case, objects: Mapping[ObjectKey, Attributes]) -> Schema:
    """The same objects; where names changed, definitions in one form, without the schemas that tables left or came to.

    A name that needed quotes and the one that took its place need not be written alike.
    """
    if not _follows(case):
        return objects if isinstance(objects, Schema) else Schema(objects)
    moving = _moving(case)
    names = "|".join(re.escape(form) for n in sorted(moving) for form in (n, quote_name(n, "postgresql")))
    prefix = re.compile(rf'(?<![\w"$.])(?:{names})\.(?=[\w"])') if moving else None

    def plain(name: str, value: Attribute) -> Attribute:
        if name in ("inherits", "partition_of") and value:
            texts = [prefix.sub("", v) if prefix else v for v in _texts(value) or (str(value),)]
            return tuple(v.replace('"', "") for v in texts)
        if not isinstance(value, str) or name not in (*TEXTS, "type", "references"):
            return value
        bare = prefix.sub("", value) if prefix else value
        return normalise(bare, case.trial.engine) if name in TEXTS else bare

    return Schema({k: {n: plain(n, v) for n, v in a.items()} for k, a in objects.items()})


def _follows(case: Case) -> bool:
    return bool(case.trial.renames.tables or case.trial.renames.columns or case.up.moves_schemas())


def _takes_its_place(key: ObjectKey, attributes: Attributes, other: Difference) -> bool:
    """Whether a new rule of the same table and type over some of the same columns is what became of a lost one."""
    new = other.new or {}
    if other.key.owner != key.owner or attributes.get("references") != new.get("references"):
        return False
    kinds = {"primary key", "unique"}
    alike = attributes.get("type") == new.get("type") or {attributes.get("type"), new.get("type")} <= kinds
    if other.key.kind == "index" or key.kind == "index":
        alike = bool(attributes.get("unique") or attributes.get("type") in kinds) and bool(
            new.get("unique") or new.get("type") in kinds
        )
    if any(attributes.get(a) not in (None, new.get(a), *NO_ACTION) and new.get(a) in NO_ACTION for a in ACTIONS):
        return False  # the new foreign key forgets what the old one did
    mine, theirs = attributes.get("columns"), new.get("columns")
    if not (alike and isinstance(mine, tuple) and isinstance(theirs, tuple) and mine and theirs):
        return False
    return set(mine) <= set(theirs) or set(theirs) <= set(mine)


def _unsaid(case: Case, key: ObjectKey, change: Difference) -> dict[str, tuple[Attribute, Attribute]]:
    """Attributes that were lost or changed without a statement about them; what only came to be is no loss."""
    changed: dict[str, tuple[Attribute, Attribute]]
    changed = {n: (old, new) for n, (old, new) in change.attributes.items() if old not in (None, "", ())}
    if key.kind == "trigger":
        changed.pop("order", None)  # MySQL numbers them: one that is dropped by name moves those behind it up
    if key.kind != "column" and change.new is not None and _retyped(case, key, change):
        changed = {n: v for n, v in changed.items() if n not in REWRITTEN}
    if case.trial.engine in FOLLOWING and key.kind not in ("table", "column") and not case.up.names_object(key):
        changed = {n: v for n, v in changed.items() if n not in REWRITTEN - {"columns"} or not _follows_names(case, v)}
    known = origins(case.before.schema, key)
    unsaid = {n: v for n, v in changed.items() if not any(case.up.states_attribute(k, n) for k in known)}
    unsaid = {n: v for n, v in unsaid.items() if not case.up.only_renamed(*v)}
    if {"charset", "collation"} & unsaid.keys():
        unsaid = {n: v for n, v in unsaid.items() if n not in _of_type(case, key)}
    if {"partition_of"} & unsaid.keys() and _is_detached(case, key):
        del unsaid["partition_of"]
    if "partition_key" in unsaid and key.owner and case.up.rebuilds(key.owner):
        del unsaid["partition_key"]  # no ALTER can say it: the CREATE TABLE of the table in its place does
    return {n: v for n, v in unsaid.items() if n not in ACTIONS or v[0] not in NO_ACTION}


REWRITTEN = {"definition", "expression", "predicate", "keys", "columns", "terms", "using", "check"}
FOLLOWING = ("postgresql", "sqlite")  # these write what rests on a table anew where something it names is renamed


def _follows_names(case: Case, sides: tuple[Attribute, Attribute]) -> bool:
    """Whether a text written anew says columns only that it did not: one that turned to another table follows that."""
    old, new = ({n for v in _texts(s) or (str(s),) for n in names_in(v, case.trial.engine)} for s in sides)
    fold = str if case.trial.engine == "postgresql" else str.casefold
    return new - old <= {fold(k.name) for k in case.after_up.schema if k.kind == "column"}


def _retyped(case: Case, key: ObjectKey, change: Difference) -> bool:
    """A column under the object has another type now; PostgreSQL writes expressions over it anew: date(d) becomes d."""
    table = key.owner
    if table is None:
        return False
    sides = [side for side in (change.old, change.new) if side]
    said = {t.name for side in sides for t in code(str(side.get("predicate") or ""), case.trial.engine)}
    columns = {c for side in sides for c in _columns_under(case, table, side)}
    columns |= {c for c in case.before.schema.columns(table) if c in said}
    return any(case.up.alters_column_type(table, c) for c in columns)


def _texts(value: Attribute) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _followed(case: Case) -> dict[ObjectKey, tuple[ObjectKey, Attributes]]:
    """Every object of before up with the key and attributes that it has once tables and columns are renamed."""
    there = set(case.after_up.schema.tables())
    tables = {a: b for a, b in case.trial.renames.tables if b in there}
    columns: dict[TableRef, dict[str, str]] = {}
    for table, old, new in case.trial.renames.columns:
        columns.setdefault(table, {})[old] = new
    schema = case.before.schema
    if not tables and not columns and not case.up.moves_schemas():
        return {k: (k, a) for k, a in schema.items()}
    homes = {n: {t.name for t in tables if t.namespace == n} for n in {t.namespace for t in schema.tables()}}
    return {k: _moved(case, k, a, tables, columns, homes) for k, a in schema.items() if not _is_replaced(k, columns)}


def _is_replaced(key: ObjectKey, columns: Mapping[TableRef, Mapping[str, str]]) -> bool:
    """Whether another column bears the name of this one, which was dropped to make place."""
    renamed = columns.get(key.owner, {}) if key.owner and key.kind == "column" else {}
    return key.name not in renamed and key.name in renamed.values()


def _moved(
    case: Case,
    key: ObjectKey,
    attributes: Attributes,
    tables: Mapping[TableRef, TableRef],
    columns: Mapping[TableRef, Mapping[str, str]],
    homes: Mapping[str, Collection[str]],
) -> tuple[ObjectKey, Attributes]:
    owner = key.owner
    names = {a.name: b.name for a, b in tables.items()}
    mine = dict(columns.get(owner, {})) if owner else {c: d for known in columns.values() for c, d in known.items()}
    referenced = next((t for t in columns if str(t) == attributes.get("references")), None)
    other = dict(columns.get(referenced, {})) if referenced else {}

    def text(value: str) -> str:
        """Behind REFERENCES stand ``other`` names: a child's ``id`` may be renamed while the parent's stays."""
        own, references, theirs = value.partition(" REFERENCES ") if "references" in attributes else (value, "", "")
        engine = case.trial.engine
        parts = ((own, mine), (references + theirs, other))
        return "".join(rename_in(part, engine, names, known, homes) for part, known in parts)

    def attribute(name: str, value: Attribute) -> Attribute:
        if name in ("terms", "keys") and isinstance(value, tuple):
            return tuple(text(v) for v in value)
        if name in ("inherits", "partition_of") and value:
            return tuple(_now(v, tables) for v in _texts(value) or (str(value),))
        if isinstance(value, tuple):
            known = other if name == "referenced_columns" else mine
            return tuple(known.get(v, v) for v in value)
        if name == "references":
            return next((str(b) for a, b in tables.items() if str(a) == value), value)
        return text(value) if isinstance(value, str) and name in TEXTS else value

    new_owner = tables.get(owner, owner) if owner else None
    moves = case.up.moves_schemas()
    followed = new_owner if owner in tables else None
    namespace = followed.namespace if followed else moves.get(key.namespace, key.namespace)
    table = new_owner.name if new_owner and key.table else key.table
    if key.kind == "column":
        name = mine.get(key.name, key.name)
    elif key.kind == "table" and new_owner:
        name = new_owner.name
    elif key.kind in ("grant", "row security", "primary key", "unique", "foreign key", "check") and owner:
        name = _carried(key.name, owner.name, new_owner.name if new_owner else owner.name, text)
    else:
        name = key.name
    return ObjectKey(key.kind, namespace, table, name), {n: attribute(n, v) for n, v in attributes.items()}


def _now(label: str, tables: Mapping[TableRef, TableRef]) -> str:
    """What a parent, as the engine writes it, is called now."""
    bare = label.replace('"', "")
    return next((str(b) for a, b in tables.items() if str(a) == bare), label)


TEXTS = {"definition", "expression", "predicate", "default", "generated", "partition_key", "using", "check"}


def _carried(name: str, old: str, new: str, text: object) -> str:
    """``orders(status)`` or ``orders.status`` under the names of after up."""
    rest = name[len(old) :] if name.startswith(old) else None
    if rest is None:
        return name
    return new + text(rest) if callable(text) and rest else new


def _rests(case: Case, key: ObjectKey, attributes: Attributes) -> bool:
    """Whether the object's table, and one column at least that it rests on, is still there after up."""
    after = case.after_up.schema
    there = set(after.tables())
    tables = dict(case.trial.renames.tables)
    owner = key.owner
    if owner is None and key.kind == "grant":
        return any(k.kind != "grant" and (k.namespace, k.name) == (key.namespace, key.name) for k in after)
    if owner is None:
        return _reads_what_is_left(case, attributes) if key.kind in ("view", "materialized view") else True
    target = next((t for t in (tables.get(owner), owner) if t in there), owner)
    if target not in there:
        return key.kind in ("trigger", "grant", "index", "rule") and any(
            ObjectKey(kind, owner.namespace, "", owner.name) in after for kind in ("view", "materialized view")
        )
    if key.kind == "column":
        return True
    names = {a: b for t, a, b in case.trial.renames.columns if t == owner}
    known = _columns_under(case, owner, attributes)
    if key.kind == "grant" and key.name.startswith(f"{key.table}."):
        known = {key.name[len(key.table) + 1 :]}
    left = after.columns(target)
    return not known or any(names.get(c, c) in left for c in known)


def _columns_under(case: Case, table: TableRef, attributes: Attributes) -> set[str]:
    """The columns that an index or a constraint is about; those of an expression stand in its text."""
    columns = set(_texts(attributes.get("columns")))
    if "" in columns or attributes.get("type") == "check":
        text = str(attributes.get("expression") or attributes.get("definition") or "")
        said = {t.name.casefold() for t in code(text, case.trial.engine) if t.name}
        columns |= {c for c in case.before.schema.columns(table) if c.casefold() in said}
    return columns - {""}


def _reads_what_is_left(case: Case, attributes: Attributes) -> bool:
    words = {t.value for t in code(str(attributes.get("definition") or ""), case.trial.engine)}
    named = [t for t in case.before.schema.tables() if t.name in words]
    there, renames = set(case.after_up.schema.tables()), dict(case.trial.renames.tables)
    return any(t in there or renames.get(t) in there for t in named) or not named
