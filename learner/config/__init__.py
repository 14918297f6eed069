"""Settings of the learner, with their defaults, units and sources. Imports neither torch nor ray."""

# ruff: noqa: F401 (the names are for those who import this package)

from stepcoder.learner.config.advantage import (
    GAE,
    GRPO,
    RLOO,
    AdvantageConfig,
    DrGRPO,
    OwnAdvantage,
    ReinforcePlusPlus,
    ReinforcePlusPlusBaseline,
    SeparateCritic,
    SharedCritic,
)
from stepcoder.learner.config.credit import FGO, AllCredit, CreditConfig, Divergence, RandomCredit
from stepcoder.learner.config.kl import KLConfig, LossKL, NoKL, RewardKL
from stepcoder.learner.config.learner import GuardsConfig, LearnerConfig
from stepcoder.learner.config.loss import (
    CISPO,
    GSPO,
    AllTokens,
    Constant,
    DualClip,
    LearnerLogprobs,
    LossConfig,
    MaskedTokens,
    Normalizer,
    OwnLoss,
    PPOClip,
    Reinforce,
    SamplerLogprobs,
    Sequences,
)
from stepcoder.learner.config.optimizer import AdamConfig, OptimizerConfig
from stepcoder.learner.config.parallel import LoRAConfig, OffloadConfig, ParallelConfig
from stepcoder.learner.config.reward import Overlong, RewardConfig
