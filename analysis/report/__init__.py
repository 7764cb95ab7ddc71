"""From fits to figures, tables and one page that says what is known and what is not."""

from analysis.report.findings import Findings, fit_study
from analysis.report.write import write_report

__all__ = ["Findings", "fit_study", "write_report"]
