"""Evaluation: what pictures there are, what is asked about them, and what the answers are worth.

rows = read_manifest("manifest.jsonl")
report = evaluate(answerer, asks_of(rows))
print(report_table(report))
"""

from coreseg_core.evaluation.ablations import ImageBlind, text_blind
from coreseg_core.evaluation.ask import Ask, asks_of, sample_of_sets, shifted_asks, shuffled_asks, spread
from coreseg_core.evaluation.manifest import Row, load_row, read_manifest, write_manifest
from coreseg_core.evaluation.report import Report
from coreseg_core.evaluation.run import Answerer, evaluate, score_all
from coreseg_core.evaluation.tables import report_table

__all__ = [
    "Answerer",
    "Ask",
    "ImageBlind",
    "Report",
    "Row",
    "asks_of",
    "evaluate",
    "load_row",
    "read_manifest",
    "report_table",
    "sample_of_sets",
    "score_all",
    "shifted_asks",
    "shuffled_asks",
    "spread",
    "text_blind",
    "write_manifest",
]
