"""What the output layer's precision does under autocast: rounding of log-probabilities and time, on a model's own text.

    python -m benchmarks.output_layer [--model smollm2-135m] [--problems 48]

The text is the starter problems' prompts and solutions; the truth is fp32 throughout.
"""

import argparse
import time

import torch
from transformers import AutoTokenizer

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.prompts import Prompter
from stepcoder.deploy.checks.starter_model import resolve_model
from stepcoder.learner.networks.models import Policy, load_policy
from stepcoder.learner.packing import Piece, Row, pack

ROWS_OF, PIECES = 1024, 1  # tokens of a row; parts in which it is scored, as in the starter run


def rows_of(tokenizer: object, count: int) -> list[Row]:
    prompter, pieces, start = Prompter(tokenizer, PromptConfig(system="")), [], 0
    for problem in load_problems("starter:train")[:count]:
        answer = prompter.tokenizer.encode(prompter.answer(problem), add_special_tokens=False)
        pieces.append(Piece(prompter.ids(problem, ""), ((answer, start),)))
        start += len(answer)
    return pack(pieces, ROWS_OF)


def scored(policy: Policy, rows: list[Row]) -> tuple[torch.Tensor, float]:
    """Log-probabilities of the answers, and seconds of forward and backward passes."""
    found, start = [], time.perf_counter()
    for row in rows:
        logprobs, _ = policy(row.input_ids, row.position_ids, row.layout, row.select, row.targets)
        logprobs.sum().backward()
        found.append(logprobs.detach())
    return torch.cat(found), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--problems", type=int, default=48)
    options = parser.parse_args()
    model = resolve_model(options.model)
    rows = rows_of(AutoTokenizer.from_pretrained(model), options.problems)
    truth, usual = scored(load_policy(model, torch.float32, PIECES), rows)
    print(f"{len(truth)} tokens; fp32 throughout {usual:.1f} s")
    for name, fp32 in (("same", False), ("fp32", True)):
        policy = load_policy(model, torch.float32, PIECES, autocast=True, fp32_output=fp32)
        logprobs, seconds = scored(policy, rows)
        error = float((logprobs - truth).abs().mean())
        print(f"autocast, output_precision {name}: rounding {error:.4f} nats a token, {seconds:.1f} s")


if __name__ == "__main__":
    main()
