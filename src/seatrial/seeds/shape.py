"""What a table asks of its rows, read from the schema: columns with their families, keys, references, conditions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from seatrial.config import Required
from seatrial.model import Attributes, ObjectKey, Relationship, Schema, TableRef
from seatrial.seeds.conditions import Condition, condition
from seatrial.seeds.families import Family, family
from seatrial.sql.queries import flat
from seatrial.sql.tokens import code, quote_name
from seatrial.values import dataclass

_UNIQUE = ("primary key", "unique", "exclusion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    family: Family
    nullable: bool
    default: str | None
    by_engine: bool  # a generated column: the engine gives its values
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    columns: tuple[str, ...]
    names: tuple[str, ...]  # the constraint's own name, to find it in the engine's refusal
    plain: bool = True  # False: over an expression, or an exclusion: only the engine can tell
    predicate: Condition | None = None
    nulls_differ: bool = True
    primary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    columns: tuple[str, ...]
    table: TableRef
    referenced: tuple[str, ...]
    whole: bool = False  # MATCH FULL: all columns NULL, or none
    name: str = ""
    declared: bool = True  # False: inferred from the column's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    table: TableRef
    columns: Mapping[str, Column]
    uniques: tuple[Unique, ...]
    references: tuple[Reference, ...]
    conditions: tuple[tuple[str, Condition], ...]  # with the constraint's name
    holders: tuple[TableRef, ...] = ()  # partitions that store its rows
    through: str = ""  # the table that its rows come through: a partition by hash
    unfit: str = ""  # why its rows are not ours to make

    @property
    def key(self) -> tuple[str, ...]:
        """What tells rows apart: the primary key, else a unique key without NULLs."""
        keys = [u for u in self.uniques if u.plain and u.predicate is None and u.columns]
        required = [u for u in keys if not any(self.columns[c].nullable for c in u.columns)]
        chosen = next((u for u in keys if u.primary), next(iter(required), None))
        return chosen.columns if chosen else ()


def shapes(
    schema: Schema, dialect: str, relationships: Sequence[Relationship] = (), required: Sequence[Required] = ()
) -> dict[TableRef, Shape]:
    """The shape of every table; one walk over the schema.

    ``relationships`` are kept like foreign keys, and columns that are ``required`` like NOT NULL ones.
    """
    objects: defaultdict[TableRef, dict[ObjectKey, Attributes]] = defaultdict(dict)
    for key, attributes in schema.items():
        if key.owner is not None:
            objects[key.owner][key] = attributes
    known = _known_types(schema)
    bare = {t: _shape_of(t, objects[t], known, dialect) for t in schema.tables()}
    bare = {t: _related(_demanding(shape, objects, required), relationships) for t, shape in bare.items()}
    return _with_relations(bare, objects, dialect)


def _demanding(
    shape: Shape, objects: Mapping[TableRef, Mapping[ObjectKey, Attributes]], required: Sequence[Required]
) -> Shape:
    """What is required of a partitioned table is required of its partitions."""
    if not required:
        return shape
    names = {str(shape.table), *(_plain(own["partition_of"]) for own in _ancestry(shape.table, objects))}
    asked = {r.column for r in required if r.table in names}
    columns = {n: replace(c, nullable=c.nullable and n not in asked) for n, c in shape.columns.items()}
    return replace(shape, columns=columns) if asked else shape


def _related(shape: Shape, relationships: Sequence[Relationship]) -> Shape:
    told = [r for r in relationships if r.table == str(shape.table) and r.column in shape.columns]
    if not told:
        return shape
    parents = [(r.column, TableRef(*["", *r.parent.split(".")][-2:]), r.parent_column) for r in told]
    more = (Reference(columns=(c,), table=t, referenced=(key,), declared=False) for c, t, key in parents)
    return replace(shape, references=(*shape.references, *more))


def _known_types(schema: Schema) -> dict[str, Family]:
    """Enums and domains by every name that a column's type text may give them."""
    types = [(k, a) for k, a in schema.items() if k.kind in ("type", "domain")]
    found: dict[str, Family] = {}
    for key, attributes in sorted(types, key=lambda item: item[0].kind, reverse=True):  # a domain's base may be an enum
        made = _user_type(attributes, found)
        if made:
            names = {key.name, f'"{key.name}"'}
            found |= {f"{key.namespace}.{n}": made for n in names} if key.namespace else dict.fromkeys(names, made)
            found |= {f'"{key.namespace}"."{key.name}"': made, f'{key.namespace}."{key.name}"': made}
    return found


def _user_type(attributes: Attributes, found: Mapping[str, Family]) -> Family | None:
    if labels := _names(attributes.get("labels")):
        return Family(name="enum", labels=labels)
    if members := _names(attributes.get("attributes")):
        parts = (m.partition(" ")[2].partition(" collate ")[0].partition(" comment ")[0] for m in members)
        return Family(name="composite", elements=tuple(family(p, found) for p in parts))
    if span := attributes.get("range"):
        return Family(name="range", element=family(str(span), found))
    base = attributes.get("type")
    if not isinstance(base, str) or base in ("composite", "range", "enum", "base", "shell"):
        return None
    checks = tuple(_bare(text) for text in _names(attributes.get("checks")))
    own = family(base, found)
    required = own.required or attributes.get("nullable") is False
    return replace(own, checks=(*own.checks, *checks), required=required)


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple) else ()


def _shape_of(
    table: TableRef, objects: Mapping[ObjectKey, Attributes], known: Mapping[str, Family], dialect: str
) -> Shape:
    """Its shape; from one migration to the next most tables stay what they were, and so do theirs."""
    made = _SHAPES.get((table, dialect))
    if made is None or (made[0], made[1]) != (objects, known):
        if len(_SHAPES) > MOST_SHAPES:
            _SHAPES.clear()
        made = _SHAPES[table, dialect] = objects, known, _shape(table, objects, known, dialect)
    return made[2]


_SHAPES: dict[tuple[TableRef, str], tuple[Mapping[ObjectKey, Attributes], Mapping[str, Family], Shape]] = {}
MOST_SHAPES = 5000  # tables that are remembered


def _shape(
    table: TableRef, objects: Mapping[ObjectKey, Attributes], known: Mapping[str, Family], dialect: str
) -> Shape:
    cells = sorted(
        ((a.get("position") or 0, k.name, a) for k, a in objects.items() if k.kind == "column"), key=lambda c: c[:2]
    )
    columns = {name: _column(name, a, known) for _, name, a in cells}
    constraints = [(k, a, _kind(k, a)) for k, a in objects.items() if k.kind not in ("table", "column")]
    whole = objects.get(ObjectKey.of_table(table), {})
    checks = _checks(constraints, columns, dialect)
    columns |= {c: replace(columns[c], family=Family(name="json")) for _, check in checks for c in _json_columns(check)}
    shape = Shape(
        table=table,
        columns=columns,
        uniques=tuple(u for k, a, kind in constraints if (u := _unique(k, a, kind, columns, dialect))),
        references=tuple(r for k, a, kind in constraints if kind == "foreign key" and (r := _reference(k, a))),
        conditions=(*checks, *_domain_checks(columns, dialect)),
        unfit="a foreign table" if whole.get("foreign_server") else "a virtual table" if whole.get("virtual") else "",
    )
    key = {c for u in shape.uniques if u.primary for c in u.columns}
    required = {n: replace(c, nullable=False) for n, c in columns.items() if n in key and c.nullable}
    return replace(shape, columns={**columns, **required}) if required else shape


def _kind(key: ObjectKey, attributes: Attributes) -> str:
    return str(attributes.get("type") or "") if key.kind == "constraint" else key.kind


def _column(name: str, attributes: Attributes, known: Mapping[str, Family]) -> Column:
    text = str(attributes.get("type") or "")
    made = family(text, known)
    if charset := attributes.get("charset"):
        made = replace(made, charset=str(charset))
    default = str(attributes.get("default") or "") or None
    default = None if default is None or re.match(r"NULL\b", default, re.IGNORECASE) else default
    return Column(
        name=name,
        family=made,
        nullable=attributes.get("nullable") is not False and not made.required,
        default=default,
        by_engine=bool(attributes.get("generated") or attributes.get("hidden")),
        type=text,
    )


def _unique(
    key: ObjectKey, attributes: Attributes, kind: str, columns: Mapping[str, Column], dialect: str
) -> Unique | None:
    if kind not in _UNIQUE and not (kind == "index" and attributes.get("unique")):
        return None
    listed = _names(attributes.get("columns"))
    predicate = attributes.get("predicate")
    plain = bool(listed) and kind != "exclusion" and all(c in columns for c in listed)
    if not plain:
        listed = condition(str(attributes.get("definition") or ""), list(columns), dialect).columns
    return Unique(
        columns=tuple(c for c in listed if c in columns),
        names=(key.name,),
        plain=plain,
        predicate=condition(str(predicate), list(columns), dialect) if predicate else None,
        nulls_differ=not attributes.get("nulls_not_distinct"),
        primary=kind == "primary key",
    )


def _reference(key: ObjectKey, attributes: Attributes) -> Reference | None:
    target = attributes.get("references")
    if not isinstance(target, str) or not target:
        return None
    namespace, _, name = target.rpartition(".")
    return Reference(
        columns=_names(attributes.get("columns")),
        table=TableRef(namespace, name),
        referenced=_names(attributes.get("referenced_columns")),
        whole=str(attributes.get("match") or "").upper() in ("FULL", "F"),
        name=key.name,
    )


def _checks(
    constraints: Iterable[tuple[ObjectKey, Attributes, str]], columns: Mapping[str, Column], dialect: str
) -> list[tuple[str, Condition]]:
    found = []
    for key, attributes, kind in constraints:
        if kind == "check":
            text = attributes.get("expression") or _bare(str(attributes.get("definition") or ""))
            found += [(key.name, condition(t, list(columns), dialect)) for t in _apart(str(text), dialect)]
    return found


def _apart(text: str, dialect: str) -> list[str]:
    """What stands between a condition's ANDs: values are then looked for column by column, where one says only that."""
    tokens = code(text, dialect)
    if any(t.word == "XOR" for t in tokens):  # weaker than AND
        return [text]
    return [text[p[0].start : p[-1].end] for p in flat(tokens)] or [text]


def _json_columns(check: Condition) -> tuple[str, ...]:
    """MariaDB's JSON is a text with this condition (manual, "JSON Data Type"); on SQLite projects write it."""
    words = [t.word for t in check.tokens if t.word != "("]
    return check.columns if words[:1] == ["JSON_VALID"] and len(check.columns) == 1 else ()


def _bare(text: str) -> str:
    """The condition in ``name CHECK (condition) NOT VALID``."""
    text = re.sub(r"^.*?\bCHECK\s*(?=\()", "", text, count=1, flags=re.IGNORECASE | re.DOTALL)
    return re.sub(
        r"\)\s*(NOT VALID|NO INHERIT|NOT ENFORCED|comment .*)+\s*$", ")", text, flags=re.IGNORECASE | re.DOTALL
    )


def _domain_checks(columns: Mapping[str, Column], dialect: str) -> list[tuple[str, Condition]]:
    """A domain's conditions, with VALUE read as the column."""
    found = []
    for column in columns.values():
        for text in column.family.checks:
            named = re.sub(r"\bVALUE\b", lambda _: quote_name(column.name, dialect), text)  # noqa: B023
            found.append((column.type, condition(named, list(columns), dialect)))
    return found


# --- between tables ---


def _with_relations(
    bare: Mapping[TableRef, Shape], objects: Mapping[TableRef, Mapping[ObjectKey, Attributes]], dialect: str
) -> dict[TableRef, Shape]:
    leaves: defaultdict[str, list[TableRef]] = defaultdict(list)
    found: dict[TableRef, Shape] = {}
    by_text = {str(t): t for t in bare} | {str(t).lower(): t for t in reversed(list(bare))}
    for table, shape in bare.items():
        for own in _ancestry(table, objects):
            shape = _bounded(shape, own, _partition_key(objects, str(own["partition_of"])), dialect)
        parent = objects[table].get(ObjectKey.of_table(table), {}).get("partition_of")
        if parent and _partition_key(objects, str(parent)).upper().startswith("HASH"):
            shape = replace(shape, through=_plain(parent))
        elif parent:
            leaves[_plain(parent)].append(table)
        resolved = tuple(_resolved(shape.references, bare, by_text))
        found[table] = shape if resolved == shape.references else replace(shape, references=resolved)
    for table, shape in found.items():
        partitions, inferred = tuple(leaves.get(str(table), ())), _inferred(shape, found)
        if partitions or inferred:
            found[table] = replace(shape, holders=partitions, references=(*shape.references, *inferred))
    return _narrowed(found)


def _narrowed(tables: dict[TableRef, Shape]) -> dict[TableRef, Shape]:
    """Keys that fit the columns that refer to them: an integer may refer to a bigint."""
    for shape in list(tables.values()):
        for reference in shape.references:
            parent = tables.get(reference.table)
            for own, other in zip(reference.columns, reference.referenced, strict=True) if parent else ():
                if parent and own in shape.columns and other in parent.columns:
                    parent = _narrow(parent, other, shape.columns[own].family)
                    tables[reference.table] = parent
    return tables


def _narrow(parent: Shape, name: str, by: Family) -> Shape:
    column = parent.columns[name]
    own = column.family
    if own.name != by.name:
        return parent
    length = min((n for n in (own.length, by.length) if n is not None), default=None)
    low, high = max(own.low, by.low), min(own.high, by.high)
    if (low, high, length) == (own.low, own.high, own.length):
        return parent
    fitting = replace(own, low=low, high=high, length=length)
    return replace(parent, columns={**parent.columns, name: replace(column, family=fitting)})


def _plain(name: object) -> str:
    return str(name).replace('"', "")


def _ancestry(table: TableRef, objects: Mapping[TableRef, Mapping[ObjectKey, Attributes]]) -> list[Attributes]:
    """The attributes of a partition and of the partitions above it."""
    found: list[Attributes] = []
    place: TableRef | None = table
    while place is not None:
        own = objects[place].get(ObjectKey.of_table(place), {})
        parent = own.get("partition_of")
        found += [own] if parent else []
        place = next((t for t in objects if parent and str(t) == _plain(parent)), None)
    return found


def _partition_key(objects: Mapping[TableRef, Mapping[ObjectKey, Attributes]], parent: str) -> str:
    own = (a for t, held in objects.items() if str(t) == _plain(parent) for k, a in held.items() if k.kind == "table")
    return str(next(own, {}).get("partition_key") or "")


_BOUND = re.compile(r"FROM \((?P<low>.*)\) TO \((?P<high>.*)\)|IN \((?P<values>.*)\)", re.IGNORECASE | re.DOTALL)


def _bounded(shape: Shape, own: Attributes, key: str, dialect: str) -> Shape:
    """A partition's bound as a condition, for a key of one column (PostgreSQL manual, CREATE TABLE, PARTITION BY)."""
    columns = condition(key, list(shape.columns), dialect).columns
    bound = _BOUND.search(str(own.get("partition_bound")))
    if len(columns) != 1 or bound is None:
        return shape
    name = quote_name(columns[0], dialect)
    parts = [f"{name} IS NOT NULL"]
    if bound["values"] is not None:
        parts = [f"{name} IN ({bound['values']})"]
    for value, sign in ((bound["low"], ">="), (bound["high"], "<")):
        if value and value not in ("MINVALUE", "MAXVALUE"):
            parts.append(f"{name} {sign} {value}")
    made = condition(" AND ".join(parts), list(shape.columns), dialect)
    return replace(shape, conditions=(*shape.conditions, ("partition constraint", made)))


def _resolved(
    references: Iterable[Reference], tables: Mapping[TableRef, Shape], by_text: Mapping[str, TableRef]
) -> Iterable[Reference]:
    """References with the columns that they mean: without a list, the primary key."""
    for reference in references:
        text = str(reference.table)
        table = reference.table if reference.table in tables else by_text.get(text, by_text.get(text.lower()))
        if table is None:
            if reference.declared:
                yield reference
            continue
        referenced = reference.referenced or tables[table].key
        if len(referenced) == len(reference.columns) and set(referenced) <= set(tables[table].columns):
            is_whole = (table, referenced) == (reference.table, reference.referenced)
            yield reference if is_whole else replace(reference, table=table, referenced=referenced)


_REFERS = re.compile(r"(.+)_(?:id|uuid|guid)|\w+_by(?:_id)?()")
_PEOPLE = ["users", "user", "accounts", "account"]


def _inferred(shape: Shape, tables: Mapping[TableRef, Shape]) -> list[Reference]:
    """``user_id`` means the row of ``users`` or ``user``, declared or not: joins in migrations rely on it."""
    taken = {c for r in shape.references for c in r.columns} | set(shape.key if len(shape.key) == 1 else ())
    found = []
    for column in shape.columns.values():
        found_name = _REFERS.fullmatch(column.name.lower())
        if column.name in taken or found_name is None:
            continue
        stems = dict.fromkeys((found_name[1], found_name[1].rpartition("_")[2])) if found_name[1] else {}
        wanted = [n for s in stems for n in (s, f"{s}s", f"{s}es", f"{s[:-1]}ies")] or _PEOPLE
        target = next((t for t in tables if t.namespace == shape.table.namespace and t.name.lower() in wanted), None)
        if target and len(key := tables[target].key) == 1 and _alike(column, tables[target].columns[key[0]]):
            found.append(Reference(columns=(column.name,), table=target, referenced=key, declared=False))
    return found


def _alike(one: Column, other: Column) -> bool:
    return one.family.name == other.family.name and not one.by_engine


def columns_named(text: str, shape: Shape) -> Sequence[str]:
    """The columns that an engine's refusal speaks of: by name, else by the name or the text of a constraint.

    Values that the message shows are no names: what stands behind "Failing row contains" is left out.
    """
    text = text.partition("Failing row contains")[0] + text[text.rfind("CONTEXT:") :] * ("CONTEXT:" in text)
    by_word = [c for c in re.findall(r"column [\"'`]?([^\"'`:\n]+)", text, re.IGNORECASE) if c in shape.columns]
    if by_word:
        return by_word
    words = set(re.findall(r'["`\']([^"`\']+)["`\']', text)) | set(re.findall(r"\.([\w$]+)", text))
    words |= set(re.findall(r"[\w$]+", text.partition("failed:")[2]))
    named = [c for c in shape.columns if c in words]
    for unique in shape.uniques:
        named += unique.columns if set(unique.names) & words else ()
    for name, check in shape.conditions:
        named += check.columns if name and name in words else ()
    return list(dict.fromkeys(named))
