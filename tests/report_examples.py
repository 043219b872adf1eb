"""Reports built from literals: a small shop, passed, failed in every section, untestable, with hostile names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from seatrial.judge import summary_of
from seatrial.model import (
    Attributes,
    Blocker,
    Change,
    ChangedRow,
    ChangeGroup,
    Counter,
    Environment,
    ErrorKind,
    Finding,
    History,
    HistoryEntry,
    Impact,
    Integrity,
    Judged,
    Kind,
    LivedIn,
    Lock,
    Migration,
    NotVerified,
    ObjectKey,
    Observed,
    Phase,
    PlanPhase,
    Renames,
    Report,
    Retry,
    Row,
    Schema,
    Severity,
    Snapshot,
    Statement,
    Status,
    Step,
    StepError,
    TableDiff,
    TableRef,
    TableState,
    Trace,
    Trial,
)

ORDERS, USERS, ITEMS = (TableRef("", n) for n in ("orders", "users", "order_items"))

Objects = dict[ObjectKey, Attributes]


def table(name: str, columns: dict[str, str], namespace: str = "") -> Objects:
    """A table with columns of the given types; a type that ends in ! is NOT NULL."""
    found: Objects = {ObjectKey("table", namespace, "", name): {"comment": None}}
    for position, (column, kind) in enumerate(columns.items(), 1):
        found[ObjectKey("column", namespace, name, column)] = {
            "type": kind.rstrip("!"),
            "nullable": not kind.endswith("!"),
            "default": None,
            "position": position,
        }
    return found


def index(name: str, of: str, *columns: str) -> Objects:
    definition = f"CREATE INDEX {name} ON {of} ({', '.join(columns)})"
    return {ObjectKey("index", "", of, name): {"columns": columns, "unique": False, "definition": definition}}


def foreign_key(name: str, of: str, column: str, references: str) -> Objects:
    key = ObjectKey("constraint", "", of, name)
    return {
        key: {
            "type": "foreign key",
            "columns": (column,),
            "references": references,
            "referenced_columns": ("id",),
            "enforced": True,
        }
    }


SHOP: Objects = {
    **table("users", {"id": "integer!", "email": "text!", "name": "text"}),
    **table("orders", {"id": "integer!", "user_id": "integer!", "total": "numeric(10,2)", "completed_at": "timestamp"}),
    **table("order_items", {"id": "integer!", "order_id": "integer!", "quantity": "integer"}),
    **foreign_key("order_items_order_fk", "order_items", "order_id", "orders"),
    **foreign_key("orders_user_fk", "orders", "user_id", "users"),
    ObjectKey("constraint", "", "users", "users_email_key"): {"type": "unique", "columns": ("email",)},
    ObjectKey("constraint", "", "order_items", "quantity_positive"): {
        "type": "check",
        "columns": ("quantity",),
        "expression": "quantity > 0",
    },
    ObjectKey("function", "", "", "touch()"): {"definition": "..."},
}


def integrity(**broken: tuple[str, ...]) -> tuple[Integrity, ...]:
    """What the shop's constraints say; a keyword such as ``items_fk=("3",)`` names the offending keys."""

    def one(name: str, rule: str, object: str, of: TableRef, column: str, **more: str) -> Integrity:
        keys = tuple((k,) for k in broken.get(name, ()))
        sql = f'SELECT "id" FROM "{of.name}" WHERE "{column}" is not as {object} says -- {rule}'
        return Integrity(
            rule=rule, object=object, table=of, columns=(column,), sql=sql, count=len(keys), keys=keys, **more
        )

    return (
        one("items_fk", "orphaned-rows", "constraint order_items_order_fk", ITEMS, "order_id", references="orders(id)"),
        one("orders_fk", "orphaned-rows", "constraint orders_user_fk", ORDERS, "user_id", references="users(id)"),
        one("email", "duplicate-keys", "constraint users_email_key", USERS, "email"),
        one("not_null", "nulls-in-required", "column users.email", USERS, "email"),
        one("quantity", "check-violated", "constraint quantity_positive", ITEMS, "quantity", expression="quantity > 0"),
    )


def state(ref: TableRef, rows: int, checksum: str, key: tuple[str, ...] = ("id",)) -> TableState:
    return TableState(table=ref, rows=rows, checksum=checksum * 8, key=key, bytes=8192)


STATES = (state(ITEMS, 7, "c9e5"), state(ORDERS, 5, "b8d4"), state(USERS, 3, "a3f2"))


def snapshot(
    moment: str,
    objects: Objects | None = None,
    *states: TableState,
    integrity: tuple[Integrity, ...] = integrity(),
) -> Snapshot:
    """The shop with more objects and with some tables in another state."""
    other = {s.table: s for s in states}
    tables = tuple(sorted({**{s.table: s for s in STATES}, **other}.values(), key=lambda s: s.table))
    return Snapshot(
        moment=moment,
        schema=Schema(SHOP if objects is None else objects),
        tables=tables,
        integrity=integrity,
        counters=(Counter(table=ORDERS, column="id", mechanism="rowid", highest=5),),
        size_bytes=24576,
    )


def step(*statements: Statement | str, ms: float = 12.34, error: StepError | None = None, **more: object) -> Step:
    found = tuple(s if isinstance(s, Statement) else Statement(sql=s, duration_ms=1.5) for s in statements)
    return Step(duration_ms=ms, statements=found, error=error, locks_observed=Observed.EXACT, **more)  # type: ignore[arg-type]


def additive() -> Judged:
    """0001: a column and an index, taken back without a trace."""
    after = {
        **SHOP,
        **table("users", {"id": "integer!", "email": "text!", "name": "text", "email_verified": "boolean"}),
        **index("idx_users_email", "users", "email"),
    }
    migration = Migration(
        id="0001",
        version="0001",
        name="add email_verified",
        path="migrations/0001_add_email_verified.sql",
        description="Remember who confirmed an address",
    )
    lock = Lock(table="users", mode="AccessExclusiveLock", held_ms=8.25)
    up = step(
        Statement(
            sql="ALTER TABLE users ADD COLUMN email_verified BOOLEAN DEFAULT FALSE", duration_ms=4.0, locks=(lock,)
        ),
        "CREATE INDEX idx_users_email ON users(email)",
    )
    trial = Trial(
        index=0,
        migration=migration,
        engine="postgresql",
        before=snapshot("A"),
        up=up,
        after_up=snapshot("B", after, state(USERS, 3, "a3f9")),
        down=step("DROP INDEX idx_users_email", "ALTER TABLE users DROP COLUMN email_verified", ms=3.5),
        after_down=snapshot("C"),
        undone=(),
        reup=up,
        after_reup=snapshot("D", after, state(USERS, 3, "a3f9")),
    )
    return Judged(
        migration=migration,
        kind=Kind.ADDITIVE,
        status=Status.PASSED,
        rollback_safe=True,
        impact=Impact.LOW,
        impact_basis="measured",
        findings=(),
        trial=trial,
    )


def destructive() -> Judged:
    """0002: a delete that cascades, an update of the wrong rows, and a down that brings nothing back."""
    migration = Migration(
        id="0002", version="0002", name="add status", path="migrations/0002_add_status.sql", parents=("0001",)
    )
    columns = {"id": "integer!", "user_id": "integer!", "total": "numeric(8,1)", "status": "text"}
    after = {**SHOP, **index("idx_orders_status", "orders", "status")}
    del after[ObjectKey("column", "", "orders", "completed_at")]
    after |= table("orders", columns)
    groups = (
        ChangeGroup(columns=("total",), count=2, rows=(ChangedRow(key=("1",), old=("10.55",), new=("10.6",)),)),
        ChangeGroup(columns=("completed_at",), count=3, rows=(ChangedRow(key=("1",), old=("x",), new=(None,)),)),
    )
    diffs = (
        TableDiff(
            table=ITEMS, new_table=ITEMS, key=("id",), columns=("id", "order_id", "quantity"), lost_count=2,
            lost=(Row(key=("3",), values=("3", "5", "1")), Row(key=("4",), values=("4", "5", "2"))),
        ),
        TableDiff(
            table=ORDERS, new_table=ORDERS, key=("id",), columns=("id", "user_id", "total", "completed_at"),
            missing_columns=("completed_at",), lost_count=1, lost=(Row(key=("5",)),), changed=groups,
        ),
    )  # fmt: skip
    lost = TableDiff(table=ORDERS, new_table=ORDERS, key=("id",), lost_count=1, lost=(Row(key=("5",)),))
    broken = integrity(items_fk=("6", "7"))
    up = step(
        Statement(
            sql="ALTER TABLE orders ALTER COLUMN total TYPE numeric(8,1)",
            duration_ms=65_000.0,
            locks=(Lock(table="orders", mode="AccessExclusiveLock", held_ms=65_400.0),),
            rewrites=("orders",),
        ),
        Statement(
            sql="DELETE FROM orders WHERE total = 0",
            rows=1,
            locks=(
                Lock(table="order_items", mode="RowExclusiveLock", held_ms=2.0),
                Lock(table="orders", mode="RowExclusiveLock", held_ms=2.0),
            ),
        ),
        "UPDATE orders SET status = 'completed' WHERE completed_at IS NOT NULL",
        "ALTER TABLE orders DROP COLUMN completed_at",
        ms=65_420.0,
    )
    trial = Trial(
        index=1,
        migration=migration,
        engine="postgresql",
        before=snapshot("A"),
        up=up,
        after_up=snapshot("B", after, state(ITEMS, 5, "c111"), state(ORDERS, 4, "f2a9"), integrity=broken),
        up_changes=diffs,
        down=step("DROP INDEX idx_orders_status", "ALTER TABLE orders ADD COLUMN completed_at timestamp"),
        after_down=snapshot("C", None, state(ITEMS, 5, "c111"), state(ORDERS, 4, "b999"), integrity=broken),
        down_changes=(diffs[0], lost),
        undone=(TableDiff(table=ORDERS, new_table=ORDERS, key=("id",)),),
        lived_in=LivedIn(own=False, writes=step("INSERT INTO orders VALUES (...)"), down=step("...")),
        plan=(
            PlanPhase(
                title="Additive Changes (Deploy V1)",
                sql="ALTER TABLE orders ADD COLUMN total_new numeric(8,1);",
                notes=("Deploy the version that writes both columns",),
                rollback="ALTER TABLE orders DROP COLUMN total_new;",
            ),
            PlanPhase(
                title="Backfill Data (Background Job)",
                sql="UPDATE orders SET total_new = total WHERE total_new IS NULL AND id BETWEEN 1 AND 1000;",
            ),
        ),
        attempts=2,
        not_verified=(NotVerified(what="locks of down", why="the connection was not ours", migration="0002"),),
    )
    return Judged(
        migration=migration,
        kind=Kind.DESTRUCTIVE,
        status=Status.FAILED,
        rollback_safe=False,
        impact=Impact.HIGH,
        impact_basis="predicted",
        predicted_ms=240_000.0,
        findings=FINDINGS,
        trial=trial,
    )


FINDINGS = (
    Finding(
        rule="rows-lost",
        severity=Severity.CRITICAL,
        phase=Phase.DOWN,
        table="order_items",
        count=2,
        keys=(("3",), ("4",)),
        message="2 rows of order_items that were there before up are missing after down",
        causes=("DELETE FROM orders cascades through order_items_order_fk",),
        recommendation="Move the orders aside instead of deleting them, and put them back in down",
        sql="SELECT id FROM order_items",
    ),
    Finding(
        rule="values-lost",
        severity=Severity.CRITICAL,
        phase=Phase.DOWN,
        table="orders",
        columns=("completed_at", "total"),
        count=3,
        keys=(("1",), ("2",), ("3",)),
        changes=(
            Change(key=("1",), column="completed_at", old="2024-05-01 10:00:00", new=None),
            Change(key=("1",), column="total", old="10.55", new="10.6"),
        ),
        message="3 rows of orders hold other values after down",
        causes=("ALTER TABLE orders DROP COLUMN completed_at",),
        recommendation="Keep the old column until the release after next",
    ),
    Finding(
        rule="collateral-change",
        severity=Severity.HIGH,
        phase=Phase.UP,
        table="order_items",
        count=2,
        keys=(("3",), ("4",)),
        message="up removed 2 rows of order_items that no statement names",
        causes=("DELETE FROM orders cascades through order_items_order_fk",),
    ),
    Finding(
        rule="conversion-loss",
        severity=Severity.HIGH,
        phase=Phase.UP,
        table="orders",
        columns=("total",),
        count=2,
        keys=(("1",), ("2",)),
        changes=(Change(key=("1",), column="total", old="10.55", new="10.6"),),
        message="numeric(10,2) to numeric(8,1) rounded 2 values of orders.total",
    ),
    Finding(
        rule="orphaned-rows",
        severity=Severity.HIGH,
        phase=Phase.UP,
        table="order_items",
        columns=("order_id",),
        objects=("constraint order_items_order_fk",),
        count=2,
        keys=(("6",), ("7",)),
        message="2 rows of order_items point at orders that are not there",
        causes=("orders were deleted with foreign keys off",),
        recommendation="Delete or re-attach the items in the same migration",
    ),
    Finding(
        rule="written-rows-lost",
        severity=Severity.MEDIUM,
        phase=Phase.LIVED_IN,
        table="orders",
        columns=("status",),
        count=2,
        message="values written to orders.status after up are gone after down",
    ),
    Finding(
        rule="column-order-changed",
        severity=Severity.LOW,
        phase=Phase.DOWN,
        table="orders",
        message="completed_at came back as the last column of orders",
    ),
    Finding(
        rule="schema-not-restored",
        severity=Severity.HIGH,
        phase=Phase.DOWN,
        table="orders",
        objects=("index idx_orders_status",),
        count=1,
        message="index idx_orders_status is still there after down",
        waived="dropped by hand since 2025",
    ),
)


def irreversible() -> Judged:
    """0003: no way back; what up did was right."""
    migration = Migration(
        id="0003", version="0003", name="rename items", path="migrations/0003.sql", no_down="its down is empty"
    )
    lines = TableRef("", "order_lines")
    after = {
        ObjectKey(k.kind, k.namespace, "order_lines" if k.table == "order_items" else k.table,
                  "order_lines" if k.name == "order_items" else k.name): a
        for k, a in SHOP.items()
    }  # fmt: skip
    after_up = Snapshot(moment="B", schema=Schema(after), tables=(state(lines, 7, "c9e5"), *STATES[1:]))
    trial = Trial(
        index=2,
        migration=migration,
        engine="postgresql",
        before=snapshot("A"),
        up=step("ALTER TABLE order_items RENAME TO order_lines", ms=1500.0),
        after_up=after_up,
        renames=Renames(tables=((ITEMS, lines),)),
        not_verified=(NotVerified(what="rollback", why="the migration has no down", migration="0003"),),
    )
    finding = Finding(
        rule="down-missing",
        severity=Severity.HIGH,
        phase=Phase.DOWN,
        message="there is no way back: its down is empty",
        causes=("its down is empty",),
        recommendation="Write a down that renames order_lines to order_items",
    )
    return Judged(
        migration=migration,
        kind=Kind.TRANSFORMATIVE,
        status=Status.FAILED,
        rollback_safe=False,
        impact=Impact.MEDIUM,
        impact_basis="measured",
        findings=(finding,),
        trial=trial,
    )


def broken() -> Judged:
    """0004: up is refused by the database."""
    migration = Migration(id="0004", version="0004", name="unique names", path="migrations/0004.sql")
    error = StepError(
        message='could not create unique index "users_name_key"\nDETAIL:  Key (name)=(Ada) is duplicated.',
        code="23505",
        statement="CREATE UNIQUE INDEX users_name_key ON users(name)",
        line=3,
    )
    finding = Finding(
        rule="up-failed",
        severity=Severity.CRITICAL,
        phase=Phase.UP,
        message=f"up failed: {error.message}",
        causes=("two users are called the same",),
        recommendation="Make the names unique first",
    )
    left = Finding(
        rule="half-applied",
        severity=Severity.MEDIUM,
        phase=Phase.UP,
        message="the failed up left column users.nick behind",
        objects=("column users.nick",),
    )
    trial = Trial(
        index=3,
        migration=migration,
        engine="postgresql",
        before=snapshot("A"),
        up=step("ALTER TABLE users ADD COLUMN nick text", error=error),
    )
    return Judged(
        migration=migration,
        kind=None,
        status=Status.FAILED,
        rollback_safe=None,
        impact=Impact.LOW,
        impact_basis="not tested",
        findings=(finding, left),
        trial=trial,
    )


def untested(status: Status, id: str = "0005") -> Judged:
    """0005: depends on what failed; or was not selected."""
    migration = Migration(id=id, version=id, name="after the failure", path=f"migrations/{id}.sql", parents=("0004",))
    trial = Trial(
        index=4,
        migration=migration,
        engine="postgresql",
        error="needs 0004, which failed" if status is Status.ERROR else "",
        error_kind=ErrorKind.MIGRATION,
        skipped="not selected by --only" if status is Status.SKIPPED else "",
    )
    return Judged(
        migration=migration,
        kind=None,
        status=status,
        rollback_safe=None,
        impact=Impact.LOW,
        impact_basis="not tested",
        findings=(),
        trial=trial,
    )


ENVIRONMENT = Environment(
    engine="postgresql",
    version="15.18",
    tables=3,
    rows=15,
    size_bytes=24576,
    seed="seed.sql",
    settings=("foreign keys are enforced",),
    checksum_sql="SELECT sum(hash_record_extended(ROW(id, email), 1)) FROM users",
)


def report(*judged: Judged, status: Status = Status.PASSED, exit_code: int = 0, **more: object) -> Report:
    trials = tuple(j.trial for j in judged)
    trace = Trace(
        seatrial="0.1.0",
        generated="2026-01-02T03:04:05Z",
        project="shop",
        source="dbmate",
        environment=ENVIRONMENT,
        trials=trials,
    )
    values = {"generated": trace.generated, "trace": trace, "summary": summary_of(judged), "migrations": judged, **more}
    return Report(status=status, exit_code=exit_code, **values)  # type: ignore[arg-type]


def passed() -> Report:
    second = additive()
    migration = replace(second.migration, id="0002", version="0002", name="the same again")
    again = replace(second, migration=migration, trial=replace(second.trial, migration=migration, index=1))
    return report(
        second,
        again,
        history=History(
            previous=(
                HistoryEntry(version="0000", description="the beginning", status="passed", tested="2026-01-01"),
                HistoryEntry(version="000", description="before the beginning", status="applied"),
            ),
            total_applied=4,
            last_migration="2026-01-01",
        ),
    )


def failed() -> Report:
    """Every section has something to say."""
    bad, missing, refused = destructive(), irreversible(), broken()
    found = report(
        additive(), bad, missing, refused, untested(Status.ERROR), untested(Status.SKIPPED, "0006"),
        status=Status.FAILED,
        exit_code=1,
        epic="shop-status",
        retries=(
            Retry(
                strategy="reset-test-db",
                migration="0002",
                attempt=1,
                reason="the connection was lost",
                succeeded=False,
                actions=("Dropped and recreated test database", "Reloaded seed data from seed.sql"),
            ),
            Retry(
                strategy="re-run-migration",
                migration="0002",
                attempt=2,
                reason="lock timeout",
                succeeded=True,
                actions=(
                    "Attempted to re-run migration without reset",
                    "Restored the test database to its state before the migration",
                    "Copied schema and rows back from the checkpoint",
                ),
            ),
        ),
        not_verified=(
            NotVerified(what="locks of down", why="the connection was not ours", migration="0002"),
            NotVerified(what="rollback", why="the migration has no down", migration="0003"),
        ),
        notes=("the waiver of schema-not-restored on 0009 matched nothing",),
    )  # fmt: skip
    f = bad.findings
    return replace(
        found,
        blockers=(
            Blocker(migration="0002", findings=(f[0], f[2])),
            Blocker(migration="0002", findings=(f[1], f[3])),
            Blocker(migration="0002", findings=(f[4],)),
            Blocker(migration="0003", findings=missing.findings),
            Blocker(migration="0004", findings=refused.findings),
        ),
    )


def nothing() -> Report:
    """No migration could be tested, and the schema declares nothing."""
    return replace(
        report(untested(Status.ERROR), status=Status.ERROR, exit_code=2),
        trace=Trace(environment=Environment(engine="sqlite", version="3.40.1"), generated="2026-01-02T03:04:05Z"),
    )


HOSTILE = (
    '"; DROP TABLE x; --',
    "<script>alert(1)</script>",
    "a|b",
    "tick ` and ``two``",
    "line\nbreak\r\n# heading\n| a | b |",
    "**bold** _em_ [link](javascript:x) ![img](x)",
    "--- \t\x00\x1b[31m red",
    "&lt;b&gt; \\",
    "</td></script><!-- ]]> -->",
    "```\nfence",
    "@someone #1",
    "🛳" * 15,
    "\udc80 not utf-8",
    "",
    " ",
)


OURS = {"format", "generated", "kind", "rule", "strategy", "moment", "engine", "status", "impact_basis", "mechanism"}
"""Fields whose text is never the user's."""


def hostile(text: str) -> Report:
    """The failed report with this text in front of and behind every name, value, statement and message.

    What is not said at all stays so: an advice "MM" would be told with one that begins so.
    """
    return retold(failed(), lambda s: s and f"{text}{s}{text}")


def retold(value: Any, tell: Callable[[str], str]) -> Any:
    """The same frozen value with every text of the user's told otherwise."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return tell(value)
    if isinstance(value, (TableRef, ObjectKey)):
        return value._replace(**{n: retold(v, tell) for n, v in value._asdict().items() if n not in OURS})
    if isinstance(value, tuple):
        return tuple(retold(v, tell) for v in value)
    if isinstance(value, Schema):
        return Schema({retold(k, tell): a for k, a in value.items()})
    if is_dataclass(value):
        told = {f.name: retold(getattr(value, f.name), tell) for f in fields(value) if f.name not in OURS}
        return replace(value, **told)  # type: ignore[type-var]
    return value
