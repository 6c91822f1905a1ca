"""What a corpus holds: numbers (`summarise`), plots, and a page with both (`write_report`), for any corpus folder."""

from tdmm.corpus.report.page import write_report
from tdmm.corpus.report.summary import Summary, summarise

__all__ = ["Summary", "summarise", "write_report"]
