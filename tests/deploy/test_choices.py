"""Settings that are a choice of types: how sources are laid over each other, algorithms by name, and older names."""

from pathlib import Path

import pytest
import yaml

from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.help import settings_reference
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.moved import MOVED, new_key
from stepcoder.deploy.config.recipes import RECIPES
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.errors import UserError
from stepcoder.learner.config import GRPO, GSPO, Constant, LossKL, NoKL, PPOClip, RewardKL, Sequences

STARTER = Path(__file__).resolve().parents[2] / "configs" / "starter.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_type_alone_stands_for_its_section(tmp_path: Path) -> None:
    file = write(tmp_path, "learner: {advantage: grpo, loss: {normalizer: sequences}}\n")
    learner = load_config(file, ["--learner.kl", "none"], {"STEPCODER_LEARNER__CREDIT": "all"}).learner
    assert (learner.advantage, learner.kl, learner.credit.type) == (GRPO(), NoKL(), "all")
    assert learner.loss == PPOClip(normalizer=Sequences())


def test_a_source_that_changes_a_type_begins_the_section_anew(tmp_path: Path) -> None:
    file = write(tmp_path, "learner: {loss: {clip_high: 0.28, normalizer: all_tokens}, kl: {coef: 0.02}}\n")
    learner = load_config(file, ["--learner.loss", "gspo", "--learner.kl.estimator", "k2"], {}).learner
    assert learner.loss == GSPO()  # with its own range and normaliser
    assert learner.kl == RewardKL(coef=0.02, estimator="k2")  # the type is what it was
    again = load_config(file, ["--learner.kl.type", "loss"], {"STEPCODER_LEARNER__KL__COEF": "0.03"}).learner
    assert again.kl == LossKL() and again.loss == PPOClip(clip_high=0.28, normalizer=again.loss.normalizer)
    same = load_config(file, ["--learner.loss", "ppo_clip"], {}).learner
    assert same.loss.normalizer.type == "all_tokens"


def test_a_source_that_changes_the_engine_drops_what_lower_ones_say_of_the_other() -> None:
    rollout = load_config(STARTER, ["--rollout.engine", "transformers"], {}).rollout
    assert rollout.max_model_len == 384 and "max_num_seqs" not in rollout.model_dump()
    assert load_config(STARTER, ["--rollout.engine", "vllm"], {}).rollout.max_num_seqs == 96


def test_the_default_of_a_choice_within_a_choice_is_that_of_the_outer_type() -> None:
    learner = load_config(None, ["--learner.loss", "cispo"], {}).learner
    assert learner.loss.normalizer.type == "all_tokens"
    words = ["--learner.loss", "gspo", "--learner.loss.normalizer", "constant", "--learner.loss.normalizer.tokens", "9"]
    assert load_config(None, words, {}).learner.loss == GSPO(normalizer=Constant(tokens=9))


def test_settings_beside_an_algorithm_win_and_what_lies_under_it_is_dropped(tmp_path: Path) -> None:
    file = write(tmp_path, "algorithm: dapo\nlearner: {loss: {clip_high: 0.25}, minibatches: 2}\n")
    config = load_config(file, [], {})
    loss = config.learner.loss
    assert isinstance(loss, PPOClip) and loss.clip_high == 0.25
    assert (config.learner.minibatches, config.refill_rounds) == (2, 3)
    other = load_config(file, ["--algorithm", "grpo", "--learner.kl", "none"], {})
    assert other.learner.loss == PPOClip(normalizer=Sequences()) and other.learner.kl == NoKL()
    assert not other.learner.drop_equal_groups and other.refill_rounds == 0 and other.learner.minibatches == 2
    assert load_config(STARTER, ["--algorithm", "ppo"], {}).learner == load_config(
        STARTER, ["--learner.advantage.lam", "0.95", "--learner.advantage.reward_baseline", "none"]
        + ["--learner.advantage.critic.layers", "none", "--learner.advantage.critic.optimizer.lr", "1.5e-6"]
        + ["--learner.advantage.critic.optimizer.warmup_steps", "0", "--learner.kl.coef", "0.05"], {},
    ).learner  # fmt: skip


def test_what_a_run_keeps_is_what_it_was_started_with(tmp_path: Path) -> None:
    for name in RECIPES:
        config = load_config(STARTER, ["--algorithm", name], {})
        file = write(tmp_path, yaml.safe_dump(config.settings()))
        assert load_config(file, [], {}) == config, name


def test_several_unknown_types_and_values_are_named_at_once() -> None:
    words = ["--learner.loss", "gsop", "--learner.loss.clip_low", "0.1", "--learner.kl", "rewards", "--run.keep", "0"]
    with pytest.raises(UserError) as caught:
        load_config(None, words, {})
    lines = str(caught.value).splitlines()
    assert [line.split(" = ")[0] for line in lines] == ["learner.loss.type", "learner.kl.type", "run.keep"]
    assert "Did you mean gspo?" in lines[0] and "none|reward|loss" in lines[1]


def test_help_shows_every_type_with_its_settings() -> None:
    text = settings_reference(width=110)
    section = text.split("\nlearner.loss:")[1].split("\n\n")[0]
    assert "gspo: PPO's surrogate with one ratio for a whole sequence. Source: Zheng et al. 2025." in section
    gspo = section.split("with type gspo:")[1].split("with type")[0]
    assert "--learner.loss.clip_low  number, > 0, <= 1; default 0.0003" in gspo
    assert "default sequences (learner.loss.type gspo)" in text
    assert "--algorithm\n" in text or "--algorithm  ppo|grpo" in text


@pytest.mark.parametrize("old", MOVED)
def test_a_setting_of_an_earlier_version_is_refused_with_its_new_name(old: str) -> None:
    assert MOVED[old] in flatten(Config).keys
    with pytest.raises(UserError, match=f"unknown key {old} .command line.. It is {MOVED[old]} now."):
        load_config(None, [f"--{old}", "1"], {})


def test_older_sections_are_known_by_their_names_too() -> None:
    assert new_key("learner.critic.optimizer.lr") == "learner.advantage.critic.optimizer.lr"
    assert new_key("curriculum.level_weights.interview") == "curriculum.sampling.interview"
    assert new_key("learner.kl.coef") is new_key("learner.critical") is None


EARLIER = {  # what a run of an earlier version kept, of the settings that have moved
    "learner": {
        "ppo": {
            "estimator": "gae", "loss": "ppo_clip", "gamma": 1.0, "lam": 1.0, "clip_low": 0.2, "clip_high": 0.2,
            "dual_clip": 3.0, "epochs": 1, "minibatches": 1, "drop_equal_groups": False, "reward_baseline": "group",
            "normalize_advantage": "auto", "advantage_clip": None, "normalizer": "masked_tokens",
            "normalizer_tokens": None, "old_logprobs": "learner", "importance_cap": 2.0,
        },
        "critic": {"kind": "separate", "detach": False, "layers": 8, "optimizer": {"lr": 1.5e-6}},
        "kl": {"coef": 0.02, "place": "reward", "estimator": "k1"},
        "credit": {"tokens": "all", "compile_error": "all"},
        "reward": {"overlong_start": None, "overlong_end": None, "overlong_penalty": 1.0},
    },
    "curriculum": {
        "schedule": "threshold", "rho": 0.4, "linear_subtasks": 10000, "sampling": "uniform",
        "level_weights": {"interview": 1.0}, "learnability_floor": 0.1,
    },
}  # fmt: skip
SAME = (
    "--learner.advantage.lam 1 --learner.advantage.reward_baseline group --learner.advantage.critic.layers 8 "
    "--learner.kl.coef 0.02 --learner.credit all --curriculum.schedule.rho 0.4"
).split()


def earlier_run(folder: Path, **learner: dict[str, object]) -> None:
    (folder / "metrics.jsonl").write_text('{"step": 1, "reward/mean": 0.0}\n')
    sections = {name: EARLIER["learner"][name] | changes for name, changes in learner.items()}
    settings = EARLIER | {"learner": EARLIER["learner"] | sections}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def differing(folder: Path, *words: str) -> list[str]:
    """The settings that keep the run from going on."""
    same = folder / "same.yaml"
    same.write_text(yaml.safe_dump(load_config(None, SAME, {}).settings()))
    config = load_config(same, ["--run.directory", str(folder), *words], {})
    try:
        RunDirectory.open(config).close()
    except UserError as error:
        first, *listed, last = str(error).splitlines()
        assert "holds a run with other settings" in first and "Set them back" in last
        return [line.strip() for line in listed]
    return []


def test_a_run_of_an_earlier_version_goes_on_with_the_settings_it_had(tmp_path: Path) -> None:
    earlier_run(tmp_path)
    assert differing(tmp_path) == []
    kept = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert kept["learner"]["advantage"]["lam"] == 1.0 and "ppo" not in kept["learner"]


def test_settings_that_there_were_not_yet_keep_no_run_from_going_on(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "reward/mean": 0.0}\n')
    settings = load_config(None, SAME, {}).settings()
    del settings["data"]["hidden_tests"]
    for name in ("cpu_factor", "packages", "result_kib"):
        del settings["executor"][name]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert differing(tmp_path) == []


def test_only_what_differs_from_a_run_of_an_earlier_version_is_listed_by_its_name_of_today(tmp_path: Path) -> None:
    earlier_run(tmp_path, ppo={"lam": 0.9}, critic={"layers": 4})
    assert differing(tmp_path, "--curriculum.schedule.rho", "0.5") == [
        "curriculum.schedule.rho: 0.4 -> 0.5",
        "learner.advantage.critic.layers: 4 -> 8",
        "learner.advantage.lam: 0.9 -> 1.0",
    ]


def test_types_that_earlier_versions_knew_by_a_value(tmp_path: Path) -> None:
    earlier_run(tmp_path, kl={"coef": 0.0}, reward={"overlong_start": 50, "overlong_end": 90})
    long = "--learner.kl none --learner.reward.overlong linear --learner.reward.overlong.start 50".split()
    assert differing(tmp_path, *long, "--learner.reward.overlong.end", "90") == []
    earlier_run(tmp_path, kl={"coef": 0.0})
    assert "learner.kl.type: 'none' -> 'reward'" in differing(tmp_path)


def test_what_an_earlier_version_kept_is_read_as_settings(tmp_path: Path) -> None:
    earlier_run(tmp_path)
    assert load_config(tmp_path / "config.yaml", [], {}, kept=True) == load_config(None, SAME, {})
