"""Weights from the learner to the engines, whichever there are: those that were replaced join, those that are lost do
not hold up the others.

A transfer connects the learner and a fixed set of engines. It is made anew where the set has changed, and where a
transfer has failed, among those that still answer. An engine that comes in between gets the weights as soon as the
learner is not in a step; until then it samples nothing.
"""

import logging
from typing import Any

from ray.exceptions import RayTaskError

from stepcoder.learner.service import LearnerService
from stepcoder.rollout.crew import Member
from stepcoder.rollout.service import RolloutService
from stepcoder.rollout.weights import TransferFailed
from stepcoder.waiting import within

log = logging.getLogger(__name__)

ATTEMPTS = 3  # with the same engines, none of which is found lost


class Exchange:
    """Between one learner and one rollout service. After an error of the learner it is of no further use."""

    def __init__(self, learner: LearnerService, rollout: RolloutService) -> None:
        self.learner, self.rollout, self.crew = learner, rollout, rollout.crew
        self._connected: list[Member] = []
        self.crew.joined = self._joined

    async def publish(self, version: int) -> None:
        """The learner's weights are `version`; when this returns, no engine samples with others."""
        self.learner.version = version
        await self._bring()

    async def _joined(self) -> None:
        if not self.rollout.asleep:  # else it is among those that the next weights wake
            await self._bring()

    async def _bring(self) -> None:
        failures = 0
        async with self.learner.turn:
            while members := self.crew.up():
                if members == self._connected and all(m.version == self.learner.version for m in members):
                    return
                if members != self._connected:
                    await self.crew.examine()  # where they meet each waits for all
                    if members != self.crew.up():
                        continue
                try:
                    await self._send(members)
                    return
                except RayTaskError as error:
                    if not isinstance(error.cause, TransferFailed):
                        raise
                    await self._recover(members, error.cause)
                    failures = failures + 1 if members == self.crew.up() else 0
                    if failures == ATTEMPTS:
                        raise

    async def _send(self, members: list[Member]) -> None:
        c, version = self.rollout.config, self.learner.version
        self.crew.updating = True
        try:
            if members != self._connected:
                self._connected = []
                await within(2 * c.weights_deadline_s, "learner and engines to meet", self._meet(members))
                self._connected = members
            if any(member.version != version for member in members):
                self.crew.given(members, None)
                # Four parts of an update have a deadline each; what hangs between them is found here
                sending = self.learner.publish(version)
                await within(4 * c.weights_deadline_s, "learner and engines to exchange weights", sending)
        finally:
            self.crew.updating = False
        self.crew.given(members, version)

    async def _meet(self, members: list[Member]) -> None:
        c = self.rollout.config
        actors: list[Any] = [member.actor for member in members]
        await self.learner.connect_engines(
            actors, self.rollout.backend, c.dtype, c.tensor_parallel, c.weights_deadline_s
        )

    async def _recover(self, members: list[Member], error: BaseException) -> None:
        log.warning("%s; once more with the engines that answer", error)
        self._connected = []
        self.crew.updating = False
        await self.crew.examine()
