"""Configuration: precedence, refusals that name the nearest right thing, and the reference in --help."""

from functools import partial
from pathlib import Path

import pytest

from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.help import settings_reference
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sft import SFTRunConfig, root_of
from stepcoder.deploy.study.plan import load_plan
from stepcoder.errors import UserError
from stepcoder.learner.config import AllCredit, OptimizerConfig, SeparateCritic

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_command_line_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = write(tmp_path, "run: {steps: 11, seed: 12, keep: 13}\n")
    environment = {"STEPCODER_RUN__STEPS": "21", "STEPCODER_RUN__SEED": "22", "STEPCODER_CACHE": "/elsewhere"}
    environment["STEPCODER_JUDGE_URL"] = "http://127.0.0.1:8060"
    config = load_config(file, ["--run.steps", "31"], environment)
    assert (config.run.steps, config.run.seed, config.run.keep) == (31, 22, 13)
    assert config.run.checkpoint_every == Config().run.checkpoint_every


def test_all_spellings_of_an_argument() -> None:
    words = [
        "--learner.policy.lr=1e-5",
        "--set",
        "run.seed=7",
        "--max-staleness",
        "0",
        "--ray.dashboard",
        "--data.train",
        "a.jsonl,b.jsonl",
    ]
    config = load_config(None, words, {})
    assert config.learner.policy.lr == 1e-5
    assert (config.run.seed, config.max_staleness, config.ray.dashboard) == (7, 0, True)
    assert config.data.train == ("a.jsonl", "b.jsonl")


def test_none_is_absence_where_allowed_and_a_name_where_it_is_one() -> None:
    config = load_config(None, ["--learner.advantage.critic.layers", "none", "--curriculum.schedule", "none"], {})
    assert config.learner.critic_layers is None
    assert config.curriculum.schedule.type == "none"


def test_a_section_given_in_part_keeps_the_rest_of_its_parents_defaults() -> None:
    critic = load_config(None, ["--learner.advantage.critic.optimizer.warmup_steps", "3"], {}).learner.critic
    assert critic == SeparateCritic(optimizer=OptimizerConfig(lr=1.5e-6, warmup_steps=3))


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("learner.lr", "learner.policy.lr"),
        ("run.step", "run.steps"),
        ("rolout.group_size", "rollout.group_size"),
        ("group_size", "rollout.group_size"),
        ("learner.kl.coeff", "learner.kl.coef"),
        ("curriculum.shedule", "curriculum.schedule"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(key: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"unknown key {key} .command line.. The nearest known key is {meant}."):
        load_config(None, [f"--{key}", "1"], {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dry-run", "'stepcoder train --check' checks everything and starts nothing"),
        ("--resume", "The same command goes on"),
        ("--verbose", "There are algorithm, model, max_unjudged_share, data, run"),
        ("--foo.bar 1", "There are algorithm, model"),
        ("--learner.loss.foo 3", "learner.loss has type, normalizer, entropy_bonus, clip_low, clip_high."),
        ("--learner.loss gspo --learner.loss.foo 3", "learner.loss has type, normalizer, entropy_bonus, clip_low"),
        ("--lerner.foo 3", "learner has ranks, device"),
        ("--learner.advantage.lambda 1", "learner.advantage has type, normalize, clip, gamma, lam, reward_baseline"),
    ],
)
def test_a_key_that_is_near_to_none_gets_the_keys_that_there_are(words: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(None, words.split(), {})
    assert said in str(caught.value) and "nearest" not in str(caught.value)


def test_what_one_command_lacks_another_may_have() -> None:
    with pytest.raises(UserError, match="A step has subtasks_per_step x rollout.group_size completions"):
        load_config(None, ["--batch_size", "4"], {})
    with pytest.raises(UserError, match="The nearest known key is sft.batch_size."):
        load_config(None, ["--batch_size", "4"], {}, root=SFTRunConfig)


@pytest.mark.parametrize(("value", "hint"), [("easy", ""), ("interview,intro", " Did you mean introductory?")])
def test_a_wrong_item_of_a_list_is_refused_with_the_choices(value: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(None, ["--data.levels", value], {})
    assert str(caught.value) == (
        f"data.levels = '{value}' (command line) is not possible: allowed is list of "
        "introductory|interview|competition, not empty; the default is introductory, interview, competition." + hint
    )


def test_a_wrong_file_is_refused_with_line_and_all_its_faults(tmp_path: Path) -> None:
    file = write(tmp_path, "run:\n  steps: 5\n  sede: 1\nlerner:\n  ranks: 2\n")
    with pytest.raises(UserError) as caught:
        load_config(file, [], {"STEPCODER_RUN__KEEPP": "1"})
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "run.sede" in lines[0] and "line 3" in lines[0] and "run.seed" in lines[0]
    assert "lerner" in lines[1] and "line 4" in lines[1]
    assert "STEPCODER_RUN__KEEPP" in lines[2] and "run.keep" in lines[2]


def test_an_impossible_value_is_refused_with_key_value_place_and_range() -> None:
    with pytest.raises(UserError) as caught:
        load_config(
            None, ["--learner.policy.lr", "-3", "--curriculum.schedule", "thresh"], {"STEPCODER_RUN__KEEP": "many"}
        )
    text = str(caught.value)
    assert "learner.policy.lr = '-3' (command line)" in text and "> 0" in text
    assert "Did you mean threshold?" in text
    assert "run.keep = 'many' (environment variable STEPCODER_RUN__KEEP)" in text and ">= 1" in text


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("learner.policy.lr", "inf", "finite number.: allowed is number, > 0"),
        ("run.max_minutes", "inf", "finite number.: allowed is number or none"),
        ("run.grace_s", "1e12", "<= 86400"),  # more than a timer takes
        ("run.seed", str(1 << 64), "<= 4294967295"),
        ("rollout.stop", "['']", "at least 1 character.: allowed is list of text; the default is '.n```'"),
        ("eval.k", "[0]", "allowed is list of integer"),
    ],
)
def test_a_value_that_would_break_a_run_later_is_refused(key: str, value: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load_config(None, [f"--{key}", value], {})
    assert "\n" not in str(caught.value)


def test_settings_that_disagree_are_refused_with_their_places() -> None:
    with pytest.raises(
        UserError, match=r"rollout.max_model_len = 64 is less than .*rollout.max_model_len: command line"
    ):
        load_config(None, ["--rollout.max_model_len", "64"], {})


@pytest.mark.parametrize("form", ["{}", "[{}]", "['starter:train', '{}']", "starter:train, {}"])
def test_what_follows_the_comma_in_the_name_of_a_set_belongs_to_it(tmp_path: Path, form: str) -> None:
    for name in ("livecodebench:a.jsonl,since=2024-08-01,until=2025-01-31", "mbpp:hub:a/b,config=full,split=train"):
        named = form.format(name)
        sets = ("starter:train", name) if "starter" in form else (name,)
        assert load_config(None, ["--data.train", named], {}).data.train == sets
        assert load_config(None, [], {"STEPCODER_DATA__TRAIN": named}).data.train == sets
        assert load_config(write(tmp_path, f"data:\n  train: {named}\n"), [], {}).data.train == sets
        by_name = load_config(write(tmp_path, f"data:\n  heldout:\n    a: [b.jsonl, {name}]\n"), [], {}).data.heldout
        assert by_name == {"a": ("b.jsonl", name)}


def test_a_section_is_not_a_value() -> None:
    with pytest.raises(
        UserError,
        match="learner.reward .command line. is a section, not a value; its keys are learner.reward.overlong.type",
    ):
        load_config(None, ["--learner.reward", "0.1"], {})


def test_a_file_that_is_not_there_is_told_with_who_names_it_and_the_one_with_the_nearest_name(tmp_path: Path) -> None:
    starter = write(tmp_path, "", "starter.yaml")
    other = write(tmp_path, "extends: plain.yaml\n", "other.yaml")
    with pytest.raises(UserError, match=rf"plain.yaml \({other}, line 1, 'extends'\): No such file.* There are: "):
        load_config(other, [], {})
    with pytest.raises(UserError, match=f"Did you mean {starter}"):
        load_config(tmp_path / "startr.yml", [], {})


def test_extends_lays_a_file_over_another_and_refuses_circles(tmp_path: Path) -> None:
    write(tmp_path, "run: {steps: 5, seed: 5}\n", "base.yaml")
    over = write(tmp_path, "extends: base.yaml\nrun: {seed: 6}\n", "over.yaml")
    assert load_config(over, [], {}).run.model_dump().items() >= {"steps": 5, "seed": 6}.items()
    write(tmp_path, "extends: over.yaml\n", "base.yaml")
    with pytest.raises(UserError, match="circle"):
        load_config(over, [], {})


def test_broken_yaml_and_double_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(write(tmp_path, "run: [1,\n"), [], {})
    with pytest.raises(UserError, match="run.seed is given twice"):
        load_config(write(tmp_path, "run:\n  seed: 1\n  seed: 2\n"), [], {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"run:\n  seed: 1\n# caf\xe9\n", "line 3: not UTF-8: byte 0xe9; save the file as UTF-8"),
        (b"run:\n  seed: 2025-02-31\n", "not valid YAML: day is out of range"),
        (b"run: \x00\n", "not valid YAML: unacceptable character"),
        (b"[" * 3000, "nested too deeply"),
    ],
)
def test_what_no_file_of_settings_holds_is_told_and_ends_nothing(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(text)
    assert root_of(file) is Config
    for read in (load_plan, load_config, partial(load_config, kept=True)):
        with pytest.raises(UserError, match=f"bad.yaml.*{said}"):
            read(file)
    marked = write(tmp_path, "\ufeffrun:\n  seed: 3\n")
    assert load_config(marked, [], {}).run.seed == 3
    assert load_config(None, ["--data.train", "[2025-02-31]"], {}).data.train == ("[2025-02-31]",)


KL = "learner.kl .*and learner.kl.type .* are one setting"


@pytest.mark.parametrize(
    ("text", "words", "variables", "said"),
    [
        (
            "",
            [],
            ["LEARNER__KL", "LEARNER__KL__TYPE"],
            "STEPCODER_LEARNER__KL. and .*STEPCODER_LEARNER__KL__TYPE. are one",
        ),
        ("", [], ["LEARNER__KL__TYPE", "LEARNER__KL"], KL),
        ("", [], ["RUN__SEED", "run__seed"], "run.seed is given twice .*STEPCODER_RUN__SEED and .*STEPCODER_run__seed"),
        ("", ["--learner.kl", "none", "--learner.kl.type", "loss"], [], KL),
        ("learner:\n  kl: {type: loss}\n  kl: none\n", [], [], "learner.kl is given twice .*line 2 and .*line 3"),
        ("learner:\n  kl: none\n  kl: {coef: 0.1}\n", [], [], "learner.kl is given twice .*line 2 and .*line 3"),
        ("run: {seed: 1}\nrun: {steps: 1}\n", [], [], "run is given twice .*line 1 and .*line 2"),
    ],
)
def test_one_setting_twice_in_one_source_is_refused_by_name(
    tmp_path: Path, text: str, words: list[str], variables: list[str], said: str
) -> None:
    environment = {f"STEPCODER_{name}": "none" if "KL" in name else "1" for name in variables}
    with pytest.raises(UserError, match=said):
        load_config(write(tmp_path, text), words, environment)


@pytest.mark.parametrize(  # a study's file is another kind: test_study_plan.py
    "file", sorted({*CONFIGS.glob("*.yaml")} - {*CONFIGS.glob("study-*.yaml")}), ids=lambda path: path.stem
)
def test_shipped_configurations_are_valid(file: Path) -> None:
    assert load_config(file, [], {}, root=root_of(file)).model


def test_plain_ppo_differs_from_the_starter_in_both_ideas_only() -> None:
    starter, plain = (load_config(CONFIGS / name, [], {}).model_dump() for name in ("starter.yaml", "plain-ppo.yaml"))
    assert plain["curriculum"].pop("schedule") == {"type": "none"}
    assert plain["learner"].pop("credit") == AllCredit().model_dump()
    assert starter["curriculum"].pop("schedule")["type"] == "threshold"
    assert starter["learner"].pop("credit")["type"] == "fgo"
    assert plain["run"].pop("directory") != starter["run"].pop("directory")
    assert plain == starter


def test_every_setting_is_described_and_in_the_reference() -> None:
    text = settings_reference(width=90)
    assert max(len(line) for line in text.splitlines()) <= 90
    for leaf in flatten(Config).leaves:
        assert leaf.description, leaf.key
        assert f"--{leaf.key}" in text


def test_the_digest_follows_the_settings() -> None:
    assert Config().digest() == Config().digest()
    assert load_config(None, ["--run.seed", "1"], {}).digest() != Config().digest()
