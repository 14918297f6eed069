"""Weights & Biases. WANDB_MODE, WANDB_ENTITY and its other variables work as usual."""

import hashlib
from collections.abc import Mapping

from stepcoder.deploy.run.loggers import About


class WandB:
    """One run there for one run directory, also where it is resumed. A step that is done again is a later point."""

    def __init__(self, about: About) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        name = about.place or str(about.folder)
        self._run = wandb.init(
            project=about.project, name=name.rstrip("/").rsplit("/", 1)[-1], dir=str(about.folder),
            id=hashlib.sha256(name.encode()).hexdigest()[:16], resume="allow", config=dict(about.settings or {}),
        )  # fmt: skip
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({"step": step, **numbers})

    def close(self) -> None:
        self._run.finish()


make = WandB
