"""The summary as one document."""

from collections.abc import Callable

from longtail.analysis.grid import Refusal
from longtail.report.pages import basis
from longtail.report.summary.answers import model_or_loss, real, safest, tail_and_head
from longtail.report.summary.comparisons import beside_published, beside_thesis, model_comparison
from longtail.report.summary.evidence import Evidence


def summarise(evidence: Evidence) -> str:
    """The summary as Markdown; a question without an answer says what these runs lack."""
    questions: dict[str, Callable[[Evidence], str]] = {
        "Which loss for the tail, and at what price for the head?": tail_and_head,
        "How much depends on the model?": model_or_loss,
        "Which is the safest choice?": safest,
        "Is the difference real?": real,
        "Model comparison": model_comparison,
        "Beside the thesis": beside_thesis,
        "Beside published results": beside_published,
    }
    parts = ["# Summary", basis(evidence.evaluation, evidence.planned, evidence.settings.seed)]
    for question, answer in questions.items():
        parts.append(f"## {question}")
        try:
            parts.append(answer(evidence))
        except Refusal as refusal:
            parts.append(f"Not answered by these runs: {refusal}.")
    return "\n\n".join(parts) + "\n"
