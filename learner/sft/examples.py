"""Problems as examples of supervised fine-tuning: the prompt that reinforcement learning will give, and its answer.

Solutions whose prompts are the same are one example, so that packing computes their prompt once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A prompt of P tokens and its answers of A tokens each, the end token last."""

    prompt_ids: Int32[np.ndarray, " P"]
    answers: tuple[Int32[np.ndarray, " A"], ...]

    @property
    def tokens(self) -> int:
        """What the learner computes for it."""
        return len(self.prompt_ids) + sum(len(answer) for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples in the order of their first problem, and the ids of the problems that gave none."""

    examples: tuple[Example, ...]
    too_long: tuple[str, ...]
    unsolved: tuple[str, ...]


def encode(problems: Sequence[Problem], prompter: Prompter, end_id: int, max_answer: int) -> Encoded:
    """At full generation, with answers of at most `max_answer` tokens, the end token `end_id` included.

    Left out are problems without a solution and those whose prompt or answer is too long.
    """
    answers: dict[tuple[int, ...], list[Int32[np.ndarray, " A"]]] = {}
    too_long, unsolved = [], []
    for problem in problems:
        if not problem.solution.strip():
            unsolved.append(problem.id)
            continue
        prompt = prompter.ids(problem, "")
        answer = [*prompter.tokenizer.encode(prompter.answer(problem), add_special_tokens=False), end_id]
        if len(prompt) > prompter.config.max_prompt_tokens or len(answer) > max_answer:
            too_long.append(problem.id)
            continue
        answers.setdefault(tuple(prompt), []).append(np.array(answer, dtype=np.int32))
    examples = tuple(Example(np.array(prompt, dtype=np.int32), tuple(found)) for prompt, found in answers.items())
    return Encoded(examples, tuple(too_long), tuple(unsolved))
