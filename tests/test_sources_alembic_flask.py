"""Flask-Migrate: projects whose env.py asks Flask's current application for its engine, run by the real packages."""

from pathlib import Path
from shutil import copyfile

import flask_migrate
import pytest
from test_sources_alembic import revision, running, table
from test_sources_support import Sqlite, tables, write

from seatrial import sources
from seatrial.errors import SourceError
from seatrial.sources import SourceSettings

TEMPLATE = Path(flask_migrate.__file__).parent / "templates" / "flask"
APP = """\
    from flask import Flask
    from flask_migrate import Migrate
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()
    migrate = Migrate()

    def {factory}():
        app = Flask(__name__)
        app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///{file}"
        db.init_app(app)
        migrate.init_app(app, db)
        return app
"""


def project(folder: Path, app: str, **files: str) -> Path:
    """As ``flask db init`` leaves it, with two revisions."""
    steps = {
        "migrations/versions/1_step.py": revision("1", **table("person")),
        "migrations/versions/2_step.py": revision("2", "1", **table("pet")),
    }
    write(folder, {**steps, "app.py": app, **files})
    copyfile(TEMPLATE / "env.py", folder / "migrations" / "env.py")
    copyfile(TEMPLATE / "alembic.ini.mako", folder / "migrations" / "alembic.ini")
    return folder


@pytest.fixture
def database(tmp_path):
    return Sqlite(tmp_path / "throwaway.db")


def test_the_template_of_flask_migrate_is_one_source_and_runs(tmp_path, database):
    own = tmp_path / "own.db"
    source = sources.find(project(tmp_path / "p", APP.format(factory="create_app", file=own)))
    migrations = source.discover()
    with running(source, database) as runner:
        errors = [runner.up(m).error for m in migrations] + [runner.down(migrations[-1]).error]

    assert [m.id for m in migrations] == ["1", "2"]
    assert errors == [None, None, None]
    assert tables(database) == {"person", "alembic_version"}
    assert not own.exists()


def test_a_script_location_in_its_ini_file_is_not_looked_at(tmp_path, database):
    folder = project(tmp_path / "p", APP.format(factory="create_app", file=tmp_path / "own.db"))
    ini = folder / "migrations" / "alembic.ini"
    ini.write_text(ini.read_text().replace("[alembic]", "[alembic]\nscript_location = ."))
    assert first_step(folder, database) is None


def test_the_application_may_be_named(tmp_path, database):
    app = APP.format(factory="make_it", file=tmp_path / "own.db")
    folder = project(tmp_path / "p", app)
    (folder / "app.py").rename(folder / "web.py")
    with pytest.raises(SourceError, match=r"asks Flask for its application.*FLASK_APP.*source\.options"):
        first_step(folder, database)

    assert first_step(folder, database, options={"app": "web:make_it"}) is None


def test_an_application_that_cannot_be_loaded_says_where(tmp_path, database):
    with pytest.raises(SourceError, match=r"could not be loaded: .*app\.py, line 1: RuntimeError: no settings"):
        first_step(project(tmp_path / "p", 'raise RuntimeError("no settings")'), database)


def first_step(folder, database, **settings):
    source = sources.find(folder, settings=SourceSettings(**settings))
    migration = source.discover()[0]
    with running(source, database) as runner:
        return runner.up(migration).error
