"""Selection of migrations, and settings."""

from __future__ import annotations

import dataclasses
import datetime
import typing
from pathlib import Path

import pytest

from seatrial.config import NO_KEYS, Config, load, parse
from seatrial.errors import ConfigError
from seatrial.model import Migration, Severity
from seatrial.plan import after, plan, select

LINE = [
    Migration(id=i, version=i, name=f"step {i}", path=f"m/{i}.sql", parents=(p,) if p else ())
    for p, i in (("", "0001"), ("0001", "0002"), ("0002", "0010"), ("0010", "0011"))
]


def tried(**choice):
    return [s.migration.id for s in plan(LINE, **choice).tried]


def test_everything_is_tried_where_nothing_is_chosen():
    assert tried() == ["0001", "0002", "0010", "0011"]


def test_only_takes_an_id_or_a_unique_prefix_and_the_rest_is_skipped():
    assert tried(only=["0002"]) == ["0002"]
    assert tried(only=["0011", "0001"]) == ["0001", "0011"]
    assert [s.skipped for s in plan(LINE, only=["0011"]).steps] == ["not selected (--only)"] * 3 + [""]


@pytest.mark.parametrize(("text", "said"), [("7", "no migration '7'"), ("001", "may be any of 0010, 0011")])
def test_a_selection_that_means_nothing_or_several_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        select(LINE, text)


def test_after_a_version_leaves_what_it_needs_out():
    branch = [*LINE, Migration(id="b1", version="b1", name="b", path="m/b1.sql", parents=("0001",))]
    assert after(branch, "0002") == {"0010", "0011", "b1"}


def test_nothing_selected_is_an_error():
    with pytest.raises(ConfigError, match="no migration is selected"):
        plan(LINE, added=frozenset())


def test_a_seed_belongs_to_its_version_or_to_the_last_one_that_is_not_tried():
    assert plan(LINE, seed=True, seed_at="0002").seed_at == 1
    assert plan(LINE, seed=True, only=["0010"]).seed_at == 1
    assert plan(LINE).seed_at is None
    with pytest.raises(ConfigError, match=r"\[seed\] at"):
        plan(LINE, seed=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sorce": {}}, "unknown key 'sorce'; did you mean 'source'"),
        ({"seed": {"pth": "x"}}, "unknown key 'seed.pth'; did you mean 'path'"),
        ({"waivers": [{"migraton": "1"}]}, "unknown key 'waivers.migraton'; did you mean 'migration'"),
        ({"seed": {"rows": "many"}}, "'seed.rows': expected a whole number, got text"),
        ({"project": "x"}, "unknown key 'project'"),
        ({"report": 3}, "'report': expected text, got a whole number"),
        ({"retry": {"attempts": 4}}, "'retry': at most 3 further attempts (attempts = 0: none), and no pause"),
        ({"retry": {"attempts": -1}}, "got attempts = -1, pauses = [5, 10, 15]"),
        ({"retry": {"pauses": [5, 0.5]}}, "may be shorter than the one before it; got attempts = 3, pauses = [5, 0.5]"),
        ({"source": {"options": {"a": "x", "b": True}}}, "'source.options.b': expected text, got true or false"),
        ({"production": {"rows": {"t": -3}}}, "'production.rows.t': expected a whole number >= 0"),
        ({"source": {"timeout": 0}}, "'source.timeout': expected a number > 0"),
        ({"relationships": [{"table": "t", "column": "u", "references": "users"}]}, "'users' names no column"),
        ({"fail_on": "hgh"}, "'fail_on': 'hgh' is none of low, medium, high, critical"),
    ],
)
def test_wrong_settings_are_named_with_the_nearest_known_key(settings, said):
    with pytest.raises(ConfigError) as raised:
        parse(settings, Path(), "seatrial.toml")
    assert said in str(raised.value)
    assert str(raised.value).startswith("seatrial.toml: ")


def keys():
    """Every key with a value of its section in which that key is of a type that no setting but a waiver's end has."""
    wrong = datetime.time(1)
    for field in dataclasses.fields(Config):
        kind = typing.get_args(typing.get_type_hints(Config)[field.name])
        if field.name in NO_KEYS:
            continue
        if dataclasses.is_dataclass(field.default):
            for inner in dataclasses.fields(field.default):
                yield f"{field.name}.{inner.name}", {field.name: {inner.name: wrong}}
        elif kind and dataclasses.is_dataclass(kind[0]):
            for inner in dataclasses.fields(kind[0]):
                yield f"{field.name}[0].{inner.name}", {field.name: [{inner.name: wrong}]}
        else:
            yield field.name, {field.name: wrong}


@pytest.mark.parametrize(("key", "settings"), [pytest.param(k, s, id=k) for k, s in keys()])
def test_every_key_is_named_where_its_value_is_of_the_wrong_type(key, settings):
    with pytest.raises(ConfigError) as raised:
        parse(settings, Path(), "seatrial.toml")
    assert str(raised.value).startswith(f"seatrial.toml: '{key}': "), raised.value
    assert "`" not in str(raised.value) and "$" not in str(raised.value)


@pytest.mark.parametrize(("key", "settings"), [pytest.param(k, s, id=k) for k, s in keys()])
def test_every_key_is_found_again_where_it_is_misspelt(key, settings):
    """By its first letters: a letter more is the commonest slip."""
    (section, inner), (*_, name) = next(iter(settings.items())), key.split(".")
    inner = inner[0] if isinstance(inner, list) else inner
    misspelt = {f"{name}x": 1} if "." not in key else {section: {f"{name}x": 1}}
    misspelt = {section: [misspelt[section]]} if "[0]" in key else misspelt
    with pytest.raises(ConfigError, match=f"^seatrial.toml: unknown key '.*{name}x'; did you mean '{name}'"):
        parse(misspelt, Path(), "seatrial.toml")


def test_what_a_flag_says_the_file_can_say(tmp_path):
    settings = {"only": ["0002"], "since": "main", "jobs": 2, "epic": "e", "report": "out", "redact": True}
    found = parse(settings, tmp_path, "seatrial.toml")
    assert (found.only, found.since, found.jobs, found.epic) == (("0002",), "main", 2, "e")
    assert (found.report, found.redact) == (tmp_path / "out", True)


def test_every_key_of_the_settings_is_documented():
    page = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Config):
        of_section = dataclasses.fields(field.default) if dataclasses.is_dataclass(field.default) else ()
        for name in [f"`{field.name}.{f.name}`" for f in of_section] or [field.name]:
            assert field.name in NO_KEYS or name in page, name


def test_the_settings_of_the_design_are_read(tmp_path):
    (tmp_path / "seatrial.toml").write_text("""
fail_on = "critical"
[source]
type = "dbmate"
path = "db/migrations"
session = ["SET timezone = 'America/New_York'"]
[seed]
path = "seed.sql"
at = "0001"
[lived_in]
path = "writes.sql"
[interrupt]
rerun = true
[[invariants]]
name = "completed orders have a date"
sql = "SELECT 1"
[[waivers]]
migration = "0007"
rule = "values-lost"
reason = "column unused since 2025"
until = 2026-12-31
""")
    config = load(tmp_path)
    assert (config.source.type, config.seed.at, config.interrupt.rerun) == ("dbmate", "0001", True)
    assert config.waivers[0].until == datetime.date(2026, 12, 31)
    assert config.fail_on is Severity.CRITICAL
    assert config.project == tmp_path


def test_settings_may_stand_in_pyproject(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.seatrial.seed]\nrows = 40\n")
    assert load(tmp_path).seed.rows == 40
    assert load(tmp_path).source == Config().source


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "seatrial.toml").write_text("[source\n")
    with pytest.raises(ConfigError, match=r"seatrial.toml is no valid TOML: .*line 1"):
        load(tmp_path)
