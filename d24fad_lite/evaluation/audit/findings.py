"""What the audit says: one finding per check, and the red and green table of all of them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

CLEAN, WARNING, LEAK, NOT_TRIED = "clean", "warning", "LEAK", "not tried"
_SIGN = {CLEAN: "✓", WARNING: "!", LEAK: "✗", NOT_TRIED: "–"}  # never colour alone
_SHADE = {CLEAN: ("#e3f4ec", "#0b5d40"), WARNING: ("#fdf1d3", "#6b4a00"), LEAK: ("#fbe2d5", "#8a2f00"),
          NOT_TRIED: ("#eceef0", "#44484c")}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    check : short name. tried : what was done, as a sentence. verdict : "clean", "warning", "LEAK" or "not tried".
    change : largest change of a score, in units of the spread of the honest scores (nan where none applies).
    auroc_alone, auroc_tried : image AUROC of each image scored alone, and as it was tried (nan where none applies).
    detail : what was found, and what to do.
    """

    check: str
    tried: str
    verdict: str
    detail: str = ""
    change: float = float("nan")
    auroc_alone: float = float("nan")
    auroc_tried: float = float("nan")


@dataclass(frozen=True)
class AuditReport:
    """All findings of an audit, in the order of the checks."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict == LEAK)

    @property
    def clean(self) -> bool:
        """Whether nothing leaked; warnings and checks not tried do not count."""
        return not self.leaks

    def found(self, check: str) -> Finding:
        """The finding of one check. Raises KeyError, naming those there are."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(f"no check {check!r}; there are {', '.join(f.check for f in self.findings)}")

    def to_frame(self) -> pd.DataFrame:
        """One row per check."""
        import pandas as pd

        return pd.DataFrame([{"verdict": f.verdict, "check": f.check, "tried": f.tried, "largest change": f.change,
                              "AUROC alone": f.auroc_alone, "AUROC as tried": f.auroc_tried, "detail": f.detail}
                             for f in self.findings])

    def summary(self) -> str:
        """One line."""
        tried = sum(f.verdict != NOT_TRIED for f in self.findings)
        names = ", ".join(f.check for f in self.leaks)
        return f"{self.subject}: " + (f"{len(self.leaks)} leak(s) in {tried} checks: {names}" if self.leaks
                                      else f"no leak found in {tried} checks")

    def __str__(self) -> str:
        lines = [f"{_SIGN[f.verdict]} {f.verdict:9s} {f.check:28s} {_figures(f)} {f.detail}".rstrip()
                 for f in self.findings]
        return "\n".join([self.summary(), *lines])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in
                       ("", "check", "what was tried", "largest change", "AUROC alone → so", "finding"))
        rows = []
        for f in self.findings:
            back, ink = _SHADE[f.verdict]
            style = f"background:{back};color:{ink};text-align:left;vertical-align:top;padding:4px 8px"
            cells = (f"<b>{_SIGN[f.verdict]} {f.verdict}</b>", html.escape(f.check), html.escape(f.tried),
                     _number(f.change), _aurocs(f), html.escape(f.detail))
            rows.append("<tr>" + "".join(f"<td style='{style}'>{cell}</td>" for cell in cells) + "</tr>")
        return (f"<p><b>{html.escape(self.summary())}</b></p><table style='border-collapse:collapse;font-size:13px'>"
                f"<tr>{head}</tr>{''.join(rows)}</table>")


def _number(value: float) -> str:
    return "" if value != value else f"{value:.2g}"


def _aurocs(finding: Finding) -> str:
    if finding.auroc_tried != finding.auroc_tried:
        return ""
    return f"{finding.auroc_alone:.3f} → {finding.auroc_tried:.3f}"


def _figures(finding: Finding) -> str:
    parts = [f"change {_number(finding.change)}"] if finding.change == finding.change else []
    return "; ".join(parts + ([f"AUROC {_aurocs(finding)}"] if _aurocs(finding) else []))
