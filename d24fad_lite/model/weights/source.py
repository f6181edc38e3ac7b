"""Where a teacher's weights came from: a short record that goes into reports and saved detectors."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class WeightsSource:
    """One source of weights; no path of the machine, so that reports can be passed on.

    kind : "cache" (timm's or Hugging Face's local copy), "package" (an installed one), "download", "embedded",
        "random", "file", "local-dir", or "module" (a teacher of the user's own).
    name : what it is called there: a timm tag, a package and its version, a file's name, a seed.
    sha256 : of the file, where there is one.
    """

    kind: str
    name: str
    sha256: str | None = None

    def __str__(self) -> str:
        checked = f" (sha256 {self.sha256[:12]})" if self.sha256 else ""
        return f"{self.kind} {self.name}{checked}"

    def to_dict(self) -> dict[str, str | None]:
        """The fields as plain values, fit for JSON."""
        return asdict(self)
