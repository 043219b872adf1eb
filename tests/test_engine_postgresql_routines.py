"""The layout of a routine's body is of no weight; what it does is."""

from __future__ import annotations

import pytest

from seatrial.engines._postgresql_catalog import _spaced_alike

HEAD = "CREATE OR REPLACE FUNCTION public.f()\n RETURNS integer\n LANGUAGE {language}\nAS $function${body}$function$\n"


def shown(body: str, language: str = "plpgsql") -> str:
    return _spaced_alike(HEAD.format(language=language, body=body))


def test_blanks_lines_and_comments_do_not_matter():
    assert shown("\nBEGIN\n    RETURN 1; -- one\nEND\n") == shown("BEGIN RETURN   1;\n\n/* or */ END")
    assert "BEGIN RETURN 1; END" in shown("\nBEGIN\n    RETURN 1; -- one\nEND\n")


@pytest.mark.parametrize("other", ["BEGIN RETURN 2; END", "BEGIN RETURN '1  1'; END", "BEGIN RETURN 1 ; RETURN 1; END"])
def test_what_it_does_matters(other):
    assert shown(other) != shown("BEGIN RETURN 1; END")
    assert shown("BEGIN RETURN '1  1'; END") != shown("BEGIN RETURN '1 1'; END")


def test_layout_is_meaning_in_other_languages():
    assert shown("\n  return 1", "plpython3u") != shown("\nreturn 1", "plpython3u")
