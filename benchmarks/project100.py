"""A generated project of small Alembic migrations, as an application's first years would make it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

INI = """[alembic]
script_location = migrations
sqlalchemy.url = sqlite:///app.db
"""

ENV = '''"""As `alembic init` writes it, without logging."""

from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config


def run_migrations_online():
    connectable = engine_from_config(
        config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=None)
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
'''

HEAD = '''"""{title}

Revision ID: {revision}
Revises: {parent}
"""

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {parent!r}
branch_labels = None
depends_on = None


def upgrade():
{up}


def downgrade():
{down}
'''


OF_SQL = """from alembic import op

revision, down_revision = {revision!r}, {parent!r}


def upgrade():
{up}


def downgrade():
{down}
"""


def write_sql(folder: Path, steps: Iterable[tuple[str, str]]) -> None:
    """Another project, of scripts: revisions 1, 2, ..., of an up and a down whose statements hold no semicolon."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    for n, (up, down) in enumerate(steps, 1):
        parent = str(n - 1) if n > 1 else None
        text = OF_SQL.format(revision=str(n), parent=parent, up=_calls(up), down=_calls(down))
        (versions / f"{n}_step.py").write_text(text)


def _calls(script: str) -> str:
    statements = (part.strip() for part in script.split(";"))
    return "\n".join(f"    op.execute({sql!r})" for sql in statements if sql) or "    pass"


def _create(n: int) -> tuple[str, str, str]:
    refers = 'sa.Column("parent_id", sa.Integer, sa.ForeignKey("t0.id")), ' if n else ""
    up = (
        f'    op.create_table("t{n}", sa.Column("id", sa.Integer, primary_key=True), {refers}'
        'sa.Column("name", sa.String(80), nullable=False), sa.Column("email", sa.String(120)), '
        'sa.Column("amount", sa.Numeric(10, 2)), sa.Column("active", sa.Boolean, nullable=False), '
        'sa.Column("created_at", sa.DateTime, nullable=False))'
    )
    return f"create t{n}", up, f'    op.drop_table("t{n}")'


def _column(n: int) -> tuple[str, str, str]:
    up = f'    op.add_column("t{n}", sa.Column("note", sa.Text))'
    return f"add note to t{n}", up, f'    op.drop_column("t{n}", "note")'


def _index(n: int) -> tuple[str, str, str]:
    up = f'    op.create_index("ix_t{n}_email", "t{n}", ["email"])'
    return f"index t{n}", up, f'    op.drop_index("ix_t{n}_email", table_name="t{n}")'


def _backfill(n: int) -> tuple[str, str, str]:
    up = (
        f'    op.add_column("t{n}", sa.Column("status", sa.String(20), nullable=False, server_default="new"))\n'
        f"    op.execute(\"UPDATE t{n} SET status = 'active' WHERE active\")"
    )
    return f"add a status to t{n}", up, f'    op.drop_column("t{n}", "status")'


def _batch(n: int) -> tuple[str, str, str]:
    up = f'    with op.batch_alter_table("t{n}") as batch:\n        batch.alter_column("name", type_=sa.String(200))'
    return f"widen t{n}'s name", up, up.replace("200", "80")


KINDS = (_create, _column, _index, _backfill, _batch)


def write(folder: Path, migrations: int) -> None:
    """A linear history; a table, two columns, an index and a batch rebuild for every five migrations."""
    shutil.rmtree(folder, ignore_errors=True)
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    parent = None
    for number in range(migrations):
        title, up, down = KINDS[number % len(KINDS)](number // len(KINDS))
        revision = f"{number + 1:04}"
        name = title.replace(" ", "_").replace("'", "")
        text = HEAD.format(title=title, revision=revision, parent=parent, up=up, down=down)
        (versions / f"{revision}_{name}.py").write_text(text)
        parent = revision
