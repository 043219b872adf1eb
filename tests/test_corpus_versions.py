"""Cases of the corpus on the other versions of PostgreSQL.

A slice of what depends on the version (identities, partitions, NULLS NOT DISTINCT, generated columns, collations, NOT
VALID) on 16 and 18, and ``tests/corpus/newer``, whose cases say since when they can be written at all.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import pytest
from engine_fixture import Engine
from pg_fixtures import started
from test_corpus import CORPUS, RUN, strict

from seatrial.servers.postgresql import PostgresqlServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("versions of postgresql")]  # started once, by one worker

SLICE = (
    "C05-serial-to-identity-restarts",
    "H17-replica-identity-left",
    "H29-identity-dropped",
    "H32-inherit-lost",
    "J05-partition-detached-safe",
    "J24-generated-becomes-plain",
    "L32-exclusion-redefined-safe",
    "M01-noinherit-forgotten",
    "RT06-partitions-own-objects-lost",
    "RT08-renamed-under-everything-safe",
    "X16-unique-not-nulls-distinct",
    "X19-partition-reattached-other-bounds",
)


def cases() -> list[object]:
    known = RUN.load([CORPUS / "public", CORPUS / "grown"], ["postgresql"], "", plain=False)
    newer = RUN.load([CORPUS / "newer"], ["postgresql"], "", plain=False)
    assert not {*SLICE} - {case.facts["id"] for case in known}
    chosen = [case for case in known if case.facts["id"] in SLICE]
    newer_of = {v: [case for case in newer if case.section["since"] == v] for v in (17, 18)}
    wanted = {16: chosen, 17: newer_of[17], 18: [*chosen, *newer_of[18]]}
    return [pytest.param(v, case, id=f"{v}-{case.facts['id']}") for v, mine in wanted.items() for case in mine]


@pytest.fixture(scope="module")
def server_of(state_folder: str) -> Iterator[Callable[[int], PostgresqlServer]]:
    """A server of each version, started when a test first asks for it."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda version: stack.enter_context(started(version)))


@pytest.mark.parametrize(("version", "case"), cases())
def test_on_another_version(version, case, tmp_path, server_of):
    strict(Engine("postgresql", server_of(version), tmp_path), case, tmp_path)
