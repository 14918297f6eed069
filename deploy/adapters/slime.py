"""slime and miles: `--custom-rm-path stepcoder.deploy.adapters.slime.custom_rm`, with the problem as the label.

A server is named by STEPCODER_JUDGE_URL.
"""

import asyncio
from typing import Any

from stepcoder.deploy.adapters.judge import shared
from stepcoder.deploy.adapters.program import program_in


async def custom_rm(args: Any, sample: Any, **_: Any) -> float | list[float]:
    """One sample, or a list of them, which slime gives in its batch mode. NotJudged where the sandbox failed."""
    if isinstance(sample, list):
        return list(await asyncio.gather(*(_one(one) for one in sample)))
    return await _one(sample)


async def _one(sample: Any) -> float:
    return (await shared().soon(program_in(sample.response).program, sample.label)).number()
