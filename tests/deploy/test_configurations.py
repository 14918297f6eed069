"""The configurations that carry the paper's name: each line has its source, and the published values are in them."""

import re
from pathlib import Path

import pytest

from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sft import SFTRunConfig, root_of
from stepcoder.deploy.config.sources import read_yaml

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SFT, PPO = CONFIGS / "sft-deepseek-6.7b.yaml", CONFIGS / "stepcoder-deepseek-6.7b.yaml"
SOURCE = re.compile(r"# (paper|recalled|group|ours)\b")
# As in design and paper: key -> value, those that are marked as the paper's, recalled or the group's.
PUBLISHED = {
    "curriculum.schedule.type": "threshold",
    "curriculum.reading": "paper",
    "curriculum.sampling.type": "courses",
    "rollout.group_size": 16,
    "rollout.max_new_tokens": 1024,
    "rollout.temperature": 0.8,
    "rollout.top_p": 0.9,
    "learner.policy.lr": 5e-7,
    "learner.advantage.critic.optimizer.lr": 1.5e-6,
    "learner.advantage.critic.value_clip": 0.2,
    "learner.advantage.gamma": 1.0,
    "learner.advantage.lam": 0.95,
    "learner.loss.clip_low": 0.2,
    "learner.loss.clip_high": 0.2,
    "learner.kl.coef": 0.05,
    "learner.credit.type": "fgo",
    "eval.temperature": 0.2,
    "eval.top_p": 0.95,
}


def settings_lines(file: Path) -> dict[int, str]:
    """Lines with a value, by number."""
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    return {number: line for number, line in lines if re.match(r"\s*\w+: +[^#\s]", line)}


@pytest.mark.parametrize("file", [SFT, PPO], ids=lambda file: file.stem)
def test_every_line_says_where_its_value_is_from(file: Path) -> None:
    root = root_of(file)
    load_config(file, [], {}, root=root)
    lines = settings_lines(file)
    assert [line for line in lines.values() if not SOURCE.search(line)] == []
    (given,) = read_yaml(file, flatten(root))
    assert {int(item.origin.rpartition("line ")[2]) for item in given.values()} == set(lines)


def test_the_published_values_are_in_the_file_itself_and_every_departure_is_named() -> None:
    (given,), lines = read_yaml(PPO, flatten(Config)), settings_lines(PPO)
    assert {key: given[key].value for key in PUBLISHED} == PUBLISHED
    for key in PUBLISHED:
        line = lines[int(given[key].origin.rpartition("line ")[2])]
        assert SOURCE.search(line).group(1) != "ours", line  # type: ignore[union-attr]
    text = PPO.read_text(encoding="utf-8")
    named = re.findall(r"^#   (\d)\. ", text, re.MULTILINE)
    assert named == [str(n + 1) for n in range(len(named))]
    marked = set(re.findall(r"# \w+ \(departure (\d)\)", text))
    assert marked <= set(named) and set(named) - marked == {"6"}  # the last has no setting


def test_reinforcement_starts_from_the_fine_tuned_model() -> None:
    fine_tuning, training = load_config(SFT, [], {}, root=SFTRunConfig), load_config(PPO, [], {})
    text = PPO.read_text(encoding="utf-8")
    assert f"stepcoder export --run {fine_tuning.run.directory} --out {training.model}" in text
    assert fine_tuning.curriculum.prompt == training.curriculum.prompt  # else it is tuned on other prompts
    assert fine_tuning.data == training.data
