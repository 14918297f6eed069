"""Whether the model's chat template and the run's own templates give prompts, and these are short enough."""

from pathlib import Path

from stepcoder.curriculum.prompts import Prompter, TemplateError
from stepcoder.deploy.checks.problem_sets import Sets
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.errors import UserError


def check_prompts(config: BaseConfig, model: Path, sets: Sets, trains: bool) -> None:
    """UserError for a set of which no prompt is short enough: it would be left out as a whole."""
    from transformers import AutoTokenizer

    try:
        prompter = Prompter(AutoTokenizer.from_pretrained(model), config.curriculum.prompt)
        prompter.text(sets.train[0], "")
    except TemplateError as error:
        raise UserError(f"curriculum.{error}") from None
    named = isinstance(config.data.heldout, dict)
    used = {"data.train": sets.train} if trains or config.eval.train_limit != 0 else {}
    used |= {f"data.heldout.{name}" if named else "data.heldout": found for name, found in sets.heldout.items()}
    most, faults = config.curriculum.prompt.max_prompt_tokens, []
    for key, found in used.items():
        if not any(prompter.fits(problem, "") for problem in found):
            shortest = min(len(prompter.ids(problem, "")) for problem in found)
            faults.append(
                f"{key}: no prompt is short enough: the shortest of {len(found)} has {shortest} tokens, "
                f"curriculum.prompt.max_prompt_tokens is {most}. Raise it, and rollout.max_model_len with it."
            )
    if faults:
        raise UserError("\n".join(faults))
