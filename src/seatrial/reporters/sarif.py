"""SARIF 2.1.0, for code scanning: a result per finding, at the migration's file. Pure.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from seatrial.codec import encode
from seatrial.facts import Fact, facts
from seatrial.model import Finding, Judged, NotVerified, Report, Severity, Status
from seatrial.reporters import words

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.0", Severity.LOW: "2.0"}
"""What code scanning sorts by: above 9 critical, above 7 high, above 4 medium."""


def render(report: Report) -> str:
    """One run with every finding, waived ones as suppressed."""
    return encode(_log(report), indent=2).decode() + "\n"


def _log(report: Report) -> dict[str, Any]:
    told = [(m, f) for m in report.migrations for f in facts(m.findings)]
    rules = sorted({f.main.rule for _, f in told})
    driver = {
        "name": "Seatrial",
        "semanticVersion": report.trace.seatrial or "0.0.0",
        "rules": [_rule(r, [f for _, f in told if f.main.rule == r]) for r in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": [_result(m, f, rules.index(f.main.rule)) for m, f in told],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: str, found: list[Fact]) -> dict[str, Any]:
    worst = max((f.severity for f in found), key=lambda s: s.rank)
    return {
        "id": rule,
        "name": rule,
        "shortDescription": {"text": words.title(rule)},
        "help": {"text": f"seatrial explain {rule}"},
        "defaultConfiguration": {"level": LEVELS[worst]},
        "properties": {"security-severity": SCORES[worst], "tags": ["database", "migration"]},
    }


def _invocation(report: Report) -> dict[str, Any]:
    """Whether the run could be carried out, what it could not verify and what was tried again."""
    return {
        "executionSuccessful": report.status is not Status.ERROR,
        "exitCode": report.exit_code,
        "toolExecutionNotifications": [
            *(_notification(n) for n in words.not_verified(report)),
            *({"level": "note", "message": {"text": words.line(f"Retry: {words.retry(r)}")}} for r in report.retries),
        ],
    }


def _notification(note: NotVerified) -> dict[str, Any]:
    where = f" ({note.migration})" if note.migration else ""
    return {"level": "note", "message": {"text": words.line(f"Not verified: {note.what}{where}: {note.why}")}}


def _result(judged: Judged, fact: Fact, index: int) -> dict[str, Any]:
    main = fact.main
    result: dict[str, Any] = {
        "ruleId": main.rule,
        "ruleIndex": index,
        "level": LEVELS[fact.severity],
        "message": {"text": _message(fact)},
        "locations": [_location(judged, main)],
        "partialFingerprints": {"seatrial/v1": _fingerprint(judged, main)},
        "properties": {"migration": judged.migration.id, "phase": main.phase.value, "count": main.count},
    }
    if main.waived is not None:
        result["suppressions"] = [{"kind": "external", "justification": main.waived}]
    return result


def _message(fact: Fact) -> str:
    parts = [
        fact.main.message,
        *(f"Cause: {words.bare(c)}" for c in fact.causes),
        *(f"Fix: {r}" for r in fact.recommendations),
    ]
    return words.visible("\n".join([*parts, *(f"Also {f.rule}: {f.message}" for f in fact.also)]))


def _location(judged: Judged, finding: Finding) -> dict[str, Any]:
    step = judged.trial.down if finding.phase == "down" else judged.trial.up
    line = step.error.line if step.error and step.error.line else 1
    path = words.visible(judged.migration.path or judged.migration.id).replace("\\", "/")
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(path, safe="/"), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": line},
        }
    }


def _fingerprint(judged: Judged, finding: Finding) -> str:
    """The same finding of the same migration, whatever its rows are."""
    parts = (judged.migration.id, finding.rule, finding.table or "", ",".join(finding.columns), finding.phase.value)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
