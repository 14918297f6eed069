"""The learner of supervised fine-tuning: the same ranks, engines and checkpoints, another step.

Built from settings without critic and reference: the policy alone.
"""

from collections.abc import Sequence

from stepcoder.learner.rank import LearnerRank
from stepcoder.learner.service import LearnerService, deal
from stepcoder.learner.sft.examples import Example
from stepcoder.learner.sft.update import SFTUpdate


class SFTRank(LearnerRank):
    """One process; every method is called on all ranks together."""

    def build(self, address: str, port: int) -> dict[str, float]:
        sizes = super().build(address, port)
        self._sft = SFTUpdate(self.policy, self.config, self._update.reduce, self.device)
        return sizes

    def train(self, examples: Sequence[Example]) -> dict[str, float]:
        """One update on this rank's examples."""
        return self._sft.step(examples)

    def validate(self, examples: Sequence[Example]) -> float:
        return self._sft.validate(examples)


class SFTService(LearnerService):
    """All ranks as one."""

    rank_class = SFTRank

    async def train(self, examples: Sequence[Example]) -> dict[str, float]:
        """One update on a batch, dealt to the ranks by tokens."""
        return (await self._together(self._dealt("train", examples)))[0]

    async def validate(self, examples: Sequence[Example]) -> float:
        """Mean negative log-likelihood of the examples' answers (nats a token)."""
        return (await self._together(self._dealt("validate", examples)))[0]

    def _dealt(self, method: str, examples: Sequence[Example]) -> list:
        shares = deal([example.tokens for example in examples], len(self.ranks))
        return [
            getattr(rank, method).remote([examples[i] for i in share])
            for rank, share in zip(self.ranks, shares, strict=True)
        ]
