"""What the audit says: one finding per check, and the red and green table of all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from d24fad_lite.messages import in_html

if TYPE_CHECKING:
    import pandas as pd

CLEAN, WARNING, LEAK, NOT_TRIED = "clean", "warning", "LEAK", "not tried"
_SIGN = {CLEAN: "✓", WARNING: "!", LEAK: "✗", NOT_TRIED: "–"}  # never colour alone
# A tint of the ground with the page's own ink, which can be read on a light and on a dark page.
_TINT = {CLEAN: "#1f9d6b26", WARNING: "#e0a1003d", LEAK: "#d9480f3d", NOT_TRIED: "#8a8d9126"}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    check : str
        Short name.
    tried : str
        What was done, as a sentence.
    verdict : {"clean", "warning", "LEAK", "not tried"}
    detail : str
        What was found, and what to do.
    change : float
        Largest change of a score, in units of the standard deviation of the scores it is compared with; nan where none
        applies.
    auroc_reference : float
        Image AUROC of what the trial is compared with: each image scored alone; the files, or the procedure, as they
        are; 1/2 for a rule that should know nothing. nan where none applies.
    auroc_tried : float
        Image AUROC when done as `tried` says; nan where none applies.
    """

    check: str
    tried: str
    verdict: str
    detail: str = ""
    change: float = float("nan")
    auroc_reference: float = float("nan")
    auroc_tried: float = float("nan")


@dataclass(frozen=True)
class AuditReport:
    """All findings of an audit, in the order of the checks. A notebook shows it as a table.

    Attributes
    ----------
    subject : str, what was audited
    findings : tuple of Finding
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that say "LEAK"."""
        return tuple(f for f in self.findings if f.verdict == LEAK)

    @property
    def clean(self) -> bool:
        """Whether nothing leaked; warnings and checks not tried do not count."""
        return not self.leaks

    def finding(self, check: str) -> Finding:
        """The finding of one check. Raises KeyError, naming those there are."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(f"no check {check!r}; there are {', '.join(f.check for f in self.findings)}")

    def to_frame(self) -> pd.DataFrame:
        """One row per check: verdict, check, tried, largest change, AUROC reference, AUROC as tried, detail."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "verdict": f.verdict,
                    "check": f.check,
                    "tried": f.tried,
                    "largest change": f.change,
                    "AUROC reference": f.auroc_reference,
                    "AUROC as tried": f.auroc_tried,
                    "detail": f.detail,
                }
                for f in self.findings
            ]
        )

    def summary(self) -> str:
        """One line: how many leaks in how many checks."""
        tried = sum(f.verdict != NOT_TRIED for f in self.findings)
        names = ", ".join(f.check for f in self.leaks)
        return f"{self.subject}: " + (
            f"{len(self.leaks)} leak(s) in {tried} checks: {names}"
            if self.leaks
            else f"no leak found in {tried} checks"
        )

    def __str__(self) -> str:
        lines = [
            f"{_SIGN[f.verdict]} {f.verdict:9s} {f.check:28s} {_figures(f)} {f.detail}".rstrip() for f in self.findings
        ]
        return "\n".join([self.summary(), *lines])

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th style='text-align:left'>{name}</th>"
            for name in ("", "check", "what was tried", "largest change", "AUROC reference → as tried", "finding")
        )
        rows = []
        for f in self.findings:
            style = f"background:{_TINT[f.verdict]};text-align:left;vertical-align:top;padding:4px 8px"
            cells = (
                f"<b style='white-space:nowrap'>{_SIGN[f.verdict]} {f.verdict}</b>",
                in_html(f.check),
                in_html(f.tried),
                _number(f.change),
                f"<span style='white-space:nowrap'>{_aurocs(f)}</span>",
                in_html(f.detail),
            )
            rows.append("<tr>" + "".join(f"<td style='{style}'>{cell}</td>" for cell in cells) + "</tr>")
        return (
            f"<p><b>{in_html(self.summary())}</b></p><table style='border-collapse:collapse;font-size:13px'>"
            f"<tr>{head}</tr>{''.join(rows)}</table>"
        )


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def _aurocs(finding: Finding) -> str:
    """The reference, and as tried."""
    if math.isnan(finding.auroc_tried):
        return ""
    return f"{finding.auroc_reference:.3f} → {finding.auroc_tried:.3f}"


def _figures(finding: Finding) -> str:
    """Change and AUROCs for the terminal, where they apply."""
    change, aurocs = _number(finding.change), _aurocs(finding)
    return "; ".join([f"change {change}"] * bool(change) + [f"AUROC {aurocs}"] * bool(aurocs))
