"""The examples of a fine-tuning run, made before anything is started, and what had to be left out of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter, TemplateError
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.errors import UserError
from stepcoder.learner.sft.examples import Encoded, Example, encode
from stepcoder.words import plural


@dataclass(frozen=True, slots=True)
class SFTData:
    """Examples of both splits; `messages` say what was left out, one line a split."""

    train: tuple[Example, ...]
    heldout: tuple[Example, ...]
    messages: tuple[str, ...]


def prepare(config: SFTRunConfig, ready: Ready) -> SFTData:
    """Raises UserError when nothing is left to train on, and for a tokenizer or templates that can't be used."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ready.model)
    if tokenizer.eos_token_id is None:
        raise UserError(f"model: the tokenizer of {config.model} has no end token (eos_token) to end an answer with.")
    try:
        prompter = Prompter(tokenizer, config.curriculum.prompt)
    except TemplateError as error:
        raise UserError(f"curriculum.{error}") from None

    def encoded(problems: Sequence[Problem]) -> Encoded:
        return encode(problems, prompter, tokenizer.eos_token_id, config.rollout.max_new_tokens)

    train, heldout = encoded(ready.train), encoded(ready.held_out)
    if not train.examples:
        raise UserError(left_out(config, "data.train", len(ready.train), train) + " Nothing is left to train on.")
    splits = (("data.train", ready.train, train), ("data.heldout", ready.held_out, heldout))
    told = tuple(left_out(config, key, len(every), found) for key, every, found in splits)
    return SFTData(train.examples, heldout.examples, tuple(filter(None, told)))


def left_out(config: SFTRunConfig, key: str, total: int, found: Encoded) -> str:
    """What a person should know of the problems without an example; empty when there are none."""
    reasons = []
    if found.too_long:
        reasons.append(
            f"{len(found.too_long)} too long ({found.too_long[0]} ...): the prompt has more than "
            f"curriculum.prompt.max_prompt_tokens {config.curriculum.prompt.max_prompt_tokens} tokens or the answer "
            f"more than rollout.max_new_tokens {config.rollout.max_new_tokens}"
        )
    if found.unsolved:
        reasons.append(f"{len(found.unsolved)} without a solution ({found.unsolved[0]} ...)")
    count = len(found.too_long) + len(found.unsolved)
    return (
        f"{key}: {count} of {plural(total, 'problem is', 'problems are')} left out, {' and '.join(reasons)}."
        if reasons
        else ""
    )
