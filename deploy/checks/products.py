"""Times the matrix products of a model's shapes in each number format, in a second at most.

A program of its own, `python products.py SETTINGS`, that imports torch alone: threads and preloaded libraries are those
of an engine only if they are there when the process starts. Prints {"engine": {format: GFLOP/s}, "learner": {...}}.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch.nn.functional import linear

DECODED = 64  # completions that are decoded at once
TRAINED = 512  # tokens of a micro-batch: a third of a second for 11 GFLOP/s, and the rate is that of longer ones
LAYERS = 8  # weights that are used in turn, as layers are, so that not all of them wait in the nearest cache
ROUNDS = 4  # at least
WARM = 2  # rounds that say nothing of a format that is slow in them: kernels are compiled and threads started
SECONDS = 0.25  # of rounds at least: longer than another process keeps a core at a time
HOPELESS = 4  # a format that is so many times slower than the best is timed once more at the end


def decoding(hidden: int, mlp: int, dtype: torch.dtype) -> Callable[[], None]:
    """[64 x hidden] x [hidden x mlp], LAYERS times."""
    weights = [torch.full((mlp, hidden), 0.01, dtype=dtype) for _ in range(LAYERS)]
    x = torch.full((DECODED, hidden), 0.5, dtype=dtype)

    @torch.inference_mode()
    def run() -> None:
        for weight in weights:
            linear(x, weight)

    return run


def training(hidden: int, mlp: int, autocast: bool) -> Callable[[], None]:
    """[512 x hidden] x [hidden x mlp] over fp32 weights, forward and backward."""
    weight = torch.full((mlp, hidden), 0.01, requires_grad=True)
    x = torch.full((TRAINED, hidden), 0.5, requires_grad=True)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            product = linear(x, weight)
        product.backward(torch.ones_like(product))

    return run


def rates(products: Mapping[str, Callable[[], None]], operations: float) -> dict[str, float]:
    """GFLOP/s of each, the best of a few rounds in turn, so that what else runs on the machine slows all alike."""
    best = dict.fromkeys(products, float("inf"))

    def time_one(name: str) -> None:
        start = time.perf_counter()
        products[name]()
        best[name] = min(best[name], time.perf_counter() - start)

    def hopeless() -> set[str]:
        return {name for name, seconds in best.items() if seconds > HOPELESS * min(best.values())}

    began, rounds = time.perf_counter(), 0
    while rounds < ROUNDS or time.perf_counter() - began < SECONDS:
        rounds, slow = rounds + 1, hopeless()
        for name in products:
            if rounds <= WARM or name not in slow:
                time_one(name)
    for name in hopeless():  # another process may have slowed it in its first rounds alone
        time_one(name)
    return {name: round(operations / seconds / 1e9, 1) for name, seconds in best.items()}


def measure(hidden: int, mlp: int, engine_threads: int, learner_threads: int) -> dict[str, dict[str, float]]:
    product = 2.0 * hidden * mlp
    torch.set_num_threads(engine_threads)
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    decoded = {name: decoding(hidden, mlp, dtype) for name, dtype in formats.items()}
    engine = rates(decoded, product * DECODED * LAYERS)
    torch.set_num_threads(learner_threads)
    trained = {name: training(hidden, mlp, name == "autocast") for name in ("fp32", "autocast")}
    return {"engine": engine, "learner": rates(trained, 3 * product * TRAINED)}


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
