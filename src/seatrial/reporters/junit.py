"""JUnit XML: a test case for up and one for down of every migration, for what shows test results in CI. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from seatrial.facts import Fact, facts
from seatrial.model import Judged, Phase, Report, Status
from seatrial.reporters import words


def render(report: Report) -> str:
    """One suite; a migration fails in the half (up, down) in which its findings showed."""
    suite = Element("testsuite", name="seatrial", timestamp=_visible(report.generated))
    if report.retries:
        told = SubElement(suite, "properties")
        for number, retry in enumerate(report.retries, 1):
            SubElement(told, "property", name=f"retry {number}", value=_visible(words.line(words.retry(retry))))
    for judged in report.migrations:
        _cases(suite, judged, [b.findings for b in report.blockers if b.migration == judged.migration.id])
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(list(suite.iter(tag)))))
    suite.set("time", f"{sum(float(c.get('time', 0)) for c in suite.iter('testcase')):.3f}")
    root = Element("testsuites")
    root.append(suite)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _cases(suite: Element, judged: Judged, blockers: Sequence[tuple[object, ...]]) -> None:
    blocking = {f for b in blockers for f in b}
    told = facts(judged.findings)
    for name, step in (("up", judged.trial.up), ("down", judged.trial.down)):
        case = SubElement(
            suite,
            "testcase",
            classname=_visible(f"{judged.migration.version} {judged.migration.name}"),
            name=name,
            file=_visible(judged.migration.path),
            time=f"{step.duration_ms / 1000:.3f}",
        )
        mine = [f for f in told if (f.main.phase is Phase.UP) == (name == "up")]
        failing = [f for f in mine if f.main in blocking]
        if failing:
            _element(case, "failure", failing)
        elif judged.status is Status.ERROR:
            SubElement(case, "error", message=_visible(words.line(words.error(judged))), type="not tested")
        elif not step.executed:
            SubElement(case, "skipped", message=_visible(_why(judged, name)))
        if rest := [f for f in mine if f not in failing]:
            SubElement(case, "system-out").text = _visible("\n\n".join(_text(f) for f in rest))


def _why(judged: Judged, name: str) -> str:
    if judged.trial.skipped:
        return judged.trial.skipped
    if judged.trial.up.error:
        return "up failed"
    return judged.migration.no_down or f"{name} was not run"


def _element(case: Element, tag: str, found: Sequence[Fact]) -> None:
    rules = ", ".join(dict.fromkeys(f.main.rule for f in found))
    element = SubElement(case, tag, message=_visible(words.line(found[0].main.message)), type=_visible(rules))
    element.text = _visible("\n\n".join(_text(f) for f in found))


def _text(fact: Fact) -> str:
    """The finding as lines: what, which rows, old and new values, why, what to do."""
    main = fact.main
    keys, rest = words.key_list(main)
    lines = [f"{main.rule} ({main.severity.upper()}) {words.place(main)}".rstrip(), main.message]
    lines += [f"rows: {', '.join(keys)}{words.more(rest)}"] if keys else []
    for change in words.keyed(main)[:10]:
        new = words.became(main, change)
        lines.append(f"{words.key(change.key)} {change.column}: {words.value(change.old)} -> {new}")
    lines += [f"row {row}" for row in words.whole_rows(main)[:10]]
    lines += [f"cause: {words.bare(c)}" for c in fact.causes] + [f"fix: {r}" for r in fact.recommendations]
    lines += [f"also {f.rule}: {f.message}" for f in fact.also]
    lines += [f"waived: {main.waived}"] if main.waived is not None else []
    return "\n".join(lines)


def _visible(text: str) -> str:
    """XML 1.0 knows no control characters, not even escaped, and no surrogates, U+FFFE or U+FFFF."""
    return words.visible(text.replace("\r", "\n")).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
