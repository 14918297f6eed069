"""Fine-grained optimisation (StepCoder, section 3.3) for other trainers: which tokens wrote code that was executed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from stepcoder.deploy.adapters.judge import Judged
from stepcoder.deploy.adapters.program import program_in
from stepcoder.executor.report import Report
from stepcoder.executor.spans import executed_spans
from stepcoder.rollout.text.extract import Extracted
from stepcoder.rollout.text.mask import token_masks


def executed_mask(
    program: str | Extracted, report: Report | Judged | dict[str, Any], offsets: Sequence[tuple[int, int]]
) -> Bool[np.ndarray, " R"]:
    """For each of R tokens whether the policy loss is to count it.

    `program`: the completion, or what `program_in` made of it. `report`: what judged it, also as the server answers.
    `offsets`: half-open characters of the completion that each token wrote; empty for special tokens.
    """
    extracted = program_in(program) if isinstance(program, str) else program
    lines = report["executed_lines"] if isinstance(report, dict) else report.executed_lines
    if lines is None:
        raise ValueError("the report has no executed lines: judge with coverage")
    return token_masks(extracted, offsets, executed_spans(extracted.program, lines), ended_itself=False).executed
