"""Where the real histories are had, and the small projects that are built around them. None of their files is ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from benchmarks import common

FOLDER = common.CACHE / "histories"
SEEDS = Path(__file__).parent / "seeds"
REPOSITORIES = {"flipt": "https://github.com/flipt-io/flipt", "pixie": "https://github.com/pixie-io/pixie"}
DRIVERS = ("psycopg[binary]==3.3.9", "pymysql==1.2.4")
ALEMBIC = ("alembic==1.16.5", "sqlalchemy==2.0.43")


Checkouts = Mapping[str, Path]  # of repositories that are there already, by their name
Builder = Callable[[Path, str, Checkouts], None]  # project folder, engine, checkouts


class UnavailableError(Exception):
    """A history that cannot be had here; says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A public project's migrations. ``build`` writes the project for one engine into a folder."""

    name: str
    about: str
    engines: tuple[str, ...]
    build: Builder


ALL_ENGINES = ("sqlite", "postgresql", "mysql", "mariadb")

# --- what PyPI has ----------------------------------------------------------------------------------------------------


def _wheel(name: str, version: str) -> Path:
    """A wheel from the package index, unpacked."""
    folder = FOLDER / f"{name}-{version}"
    if not folder.is_dir():
        downloads = FOLDER / "wheels"
        common.pip(None, "download", "--quiet", "--no-deps", "--dest", str(downloads), f"{name}=={version}")
        (wheel,) = downloads.glob(f"{name}-{version}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
    return folder


def _alembic_project(folder: Path, scripts: Path, python: Path) -> Path:
    """A project whose script directory is a copy of a wheel's, env.py included; returns its versions folder."""
    shutil.copytree(scripts, folder / "migrations", ignore=shutil.ignore_patterns("__pycache__", "alembic.ini"))
    original = (scripts / "alembic.ini") if (scripts / "alembic.ini").is_file() else scripts.parent / "alembic.ini"
    ini = re.sub(r"(?m)^script_location\s*=.*$", "script_location = migrations", original.read_text())
    (folder / "alembic.ini").write_text(ini)
    (folder / "seatrial.toml").write_text(f'[source]\ntype = "alembic"\npython = "{python.as_posix()}"\n')
    return folder / "migrations" / "versions"


# MLflow's first revision alters tables that MLflow itself makes with create_all before it calls Alembic
# (mlflow/store/db/utils.py: _initialize_tables). That step becomes a revision, so that its tables exist and hold rows.
MLFLOW_BASE = '''"""the tables of MLflow 0.9.1, as mlflow.store.db.utils._initialize_tables makes them"""

from alembic import op
from mlflow.store.tracking.dbmodels.initial_models import Base

revision = "000000000000"
down_revision = None


def upgrade():
    Base.metadata.create_all(op.get_bind())


def downgrade():
    Base.metadata.drop_all(op.get_bind())
'''
MLFLOW_ROOT = "451aebb31d03_add_metric_step.py"
MLFLOW_NEEDS = (  # what `import mlflow` needs (mlflow-skinny's requirements), without what it only uses lazily
    *("cachetools<6", "click<9", "cloudpickle<4", "databricks-sdk<1", "gitpython<4", "importlib-metadata<9"),
    *("numpy<3", "opentelemetry-api<2", "opentelemetry-sdk<2", "packaging<25", "protobuf<7", "pydantic<3"),
    *("pyyaml<7", "requests<3", "sqlparse<1", "typing-extensions<5"),
)


# MLflow stores its first experiment as 0 in the same way (mlflow/store/tracking/sqlalchemy_store.py)
ZERO_STAYS = "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',NO_AUTO_VALUE_ON_ZERO');\n"


def _seeded(build: Builder, name: str, at: str) -> Builder:
    """The same project with rows of ours, as the application writes them, instead of generated ones from ``at`` on."""

    def with_seed(folder: Path, engine: str, checkouts: Checkouts) -> None:
        build(folder, engine, checkouts)
        zero = ZERO_STAYS if engine in ("mysql", "mariadb") else ""
        (folder / "seed.sql").write_text(zero + (SEEDS / f"{name}.sql").read_text())
        with (folder / "seatrial.toml").open("a") as settings:
            settings.write(f'[seed]\npath = "seed.sql"\nat = "{at}"\n')

    return with_seed


def mlflow(folder: Path, engine: str, checkouts: Checkouts) -> None:
    wheel = _wheel("mlflow", "2.22.0")
    python = common.venv("mlflow", *MLFLOW_NEEDS, *ALEMBIC, *DRIVERS, no_deps=["mlflow==2.22.0"])
    versions = _alembic_project(folder, wheel / "mlflow" / "store" / "db_migrations", python)
    (versions / "000000000000_base.py").write_text(MLFLOW_BASE)
    root = (versions / MLFLOW_ROOT).read_text()
    assert root.count("down_revision = None") == 1
    (versions / MLFLOW_ROOT).write_text(root.replace("down_revision = None", 'down_revision = "000000000000"'))


def optuna(folder: Path, engine: str, checkouts: Checkouts) -> None:
    wheel = _wheel("optuna", "5.0.0")
    python = common.venv("optuna", "optuna==5.0.0", *ALEMBIC, *DRIVERS)
    _alembic_project(folder, wheel / "optuna" / "storages" / "_rdb" / "alembic", python)


# --- what a repository has --------------------------------------------------------------------------------------------

FLIPT_FOLDERS = {"sqlite": "sqlite3", "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}


def _flipt(commit: str) -> Builder:
    def build(folder: Path, engine: str, checkouts: Checkouts) -> None:
        tree = _archive("flipt", checkouts, commit, "config/migrations")
        shutil.copytree(tree / FLIPT_FOLDERS[engine], folder / "migrations")
        # flipt opens SQLite with foreign keys on, for its migrator too (internal/storage/sql/db.go: "_fk")
        session = '\nsession = ["PRAGMA foreign_keys = ON"]' if engine == "sqlite" else ""
        (folder / "seatrial.toml").write_text(f'[source]\ntype = "golang-migrate"\npath = "migrations"{session}\n')

    return build


def _pixie(service: str) -> Builder:
    """One service's migrations; the folder also holds the Go code that runs them."""

    def build(folder: Path, engine: str, checkouts: Checkouts) -> None:
        tree = _archive("pixie", checkouts, "44d42f1d6", f"src/cloud/{service}/schema")
        (folder / "migrations").mkdir()
        for file in tree.glob("*.sql"):
            shutil.copy(file, folder / "migrations")
        (folder / "seatrial.toml").write_text('[source]\ntype = "golang-migrate"\npath = "migrations"\n')

    return build


def _repository(name: str, checkouts: Checkouts) -> Path:
    if name in checkouts:
        return checkouts[name]
    folder, url = FOLDER / f"{name}.git", REPOSITORIES[name]
    if not folder.is_dir():
        print(f"... cloning {url}", file=sys.stderr, flush=True)
        done = subprocess.run(
            ["git", "clone", "--quiet", "--bare", "--filter=blob:none", url, str(folder)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise UnavailableError(f"{url} cannot be cloned ({done.stderr.strip()}); give a checkout: --{name} PATH")
    return folder


def _archive(name: str, checkouts: Checkouts, commit: str, path: str) -> Path:
    """One folder of a repository at a commit, unpacked."""
    target = FOLDER / f"{name}-{commit}"
    if not (target / path).is_dir():
        repository = _repository(name, checkouts)
        done = subprocess.run(["git", "-C", str(repository), "archive", commit, path], capture_output=True)
        if done.returncode:
            raise UnavailableError(f"{repository} has no {path} at {commit}: {done.stderr.decode().strip()}")
        with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
            archive.extractall(target, filter="data")
    return target / path


PIXIE_SERVICES = ("vzmgr", "profile", "plugin", "auth", "project_manager", "cron_script")

HISTORIES = (
    History(
        name="mlflow",
        about="MLflow 2.22.0 (PyPI), store/db_migrations, with rows as MLflow writes them",
        engines=ALL_ENGINES,
        build=_seeded(mlflow, "mlflow", "000000000000"),
    ),
    History(
        name="mlflow-generated",
        about="the same with generated rows only",
        engines=ALL_ENGINES,
        build=mlflow,
    ),
    History(
        name="optuna",
        about="Optuna 5.0.0 (PyPI), storages/_rdb/alembic, with rows as Optuna writes them",
        engines=ALL_ENGINES,
        build=_seeded(optuna, "optuna", "v0.9.0.a"),
    ),
    History(
        name="optuna-generated",
        about="the same with generated rows only",
        engines=ALL_ENGINES,
        build=optuna,
    ),
    History(
        name="flipt",
        about="flipt @f04ddb10, config/migrations: with downs",
        engines=ALL_ENGINES,
        build=_flipt("f04ddb10"),
    ),
    History(
        name="flipt-2025",
        about="flipt @3664b736, config/migrations: without downs",
        engines=ALL_ENGINES,
        build=_flipt("3664b736"),
    ),
    *(
        History(
            name=f"pixie-{service.replace('_', '-')}",
            about=f"Pixie @44d42f1d6, src/cloud/{service}/schema",
            engines=("postgresql",),
            build=_pixie(service),
        )
        for service in PIXIE_SERVICES
    ),
)
