"""Supervised fine-tuning by a service of two processes against one process."""

import asyncio
from pathlib import Path

import pytest

from stepcoder.learner.sft.service import SFTService
from tests.learner.test_sft import config, examples, make_rank


def test_two_ranks_equal_one(cluster: None, model: Path) -> None:
    batches = [examples(seed=step, count=3) for step in (1, 2, 3)]  # two ranks get uneven shares
    alone = make_rank(model, config())
    expected = [alone.train(batch) for batch in batches] + [{"validation": alone.validate(batches[0])}]

    async def together() -> list[dict[str, float]]:
        service = SFTService(str(model), config(ranks=2, zero_stage=2), seed=0, total_updates=10, temperature=1.0)
        try:
            await service.build()
            found = [await service.train(batch) for batch in batches]
            found.append({"validation": await service.validate(batches[0])})
            # fewer problems than ranks: the idle one takes part all the same
            assert (await service.train(batches[0][:1]))["updates/refused"] == 0.0
            return found
        finally:
            service.close()

    found = asyncio.run(together())
    for ours, theirs in zip(found, expected, strict=True):
        for key in theirs.keys() - {"tokens/trained", "tokens_per_s/train"}:
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3), key
