"""`stepcoder eval`."""

import argparse
from pathlib import Path

from stepcoder.deploy.commands.common import console, stop
from stepcoder.ending import on_request
from stepcoder.errors import UserError

EXAMPLES = """\
examples:
  stepcoder eval --run runs/starter                                newest checkpoint, with the run's own settings
  stepcoder eval --run runs/starter --step 20 --eval.samples 32
  stepcoder eval --config configs/starter.yaml --model smollm2-135m --out before.json
  stepcoder eval --model my-model --data.heldout '{mbpp: mbpp:mbpp.jsonl, humaneval: humaneval:HumanEval.jsonl.gz}' \\
      --eval.train_limit 0 --eval.samples 10 --eval.greedy true --programs programs.jsonl

Any setting of 'stepcoder train --help all' may follow; those under eval., data. and rollout. matter."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    evaluate = commands.add_parser(
        "eval", help="pass rate of a checkpoint or model", epilog=EXAMPLES,
        description="Pass rate at full generation, no prefix given, with its 95% interval, and pass@k; for each set.",
        usage="stepcoder eval [--run DIR [--step N]] [--config FILE] [--out FILE] [--programs FILE]\n"
        "                      [--SETTING VALUE ...]",
    )  # fmt: skip
    evaluate.add_argument(
        "--run",
        metavar="DIR",
        help="run whose checkpoint to evaluate, or DIR/checkpoints/step-N; without it, the setting 'model' is",
    )
    evaluate.add_argument(
        "--step", type=int, metavar="N", help="checkpoint of this step (default: the newest complete one)"
    )
    evaluate.add_argument("--config", metavar="FILE", help="YAML file with settings (default: the run's own)")
    evaluate.add_argument("--out", metavar="FILE", type=Path, help="also write the result as JSON")
    evaluate.add_argument("--programs", metavar="FILE", type=Path, help="also write every program, as JSON lines")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.checks.formats import settle
    from stepcoder.deploy.checks.preflight import preflight
    from stepcoder.deploy.config.fields import flatten
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.config.sft import root_of
    from stepcoder.deploy.config.sources import read_arguments
    from stepcoder.deploy.run.outputs import check_output
    from stepcoder.deploy.shown.summary import rates_table
    from stepcoder.files import write_json

    if options.step is not None and options.run is None:
        raise UserError("--step needs --run.")
    for option, out in (("--out", options.out), ("--programs", options.programs)):
        if out is not None:
            check_output(out, option, [], force=True)
    if options.out is not None and options.programs is not None and options.out.resolve() == options.programs.resolve():
        raise UserError(f"--programs: {options.programs} is what --out names; give another file")
    file, target, step = options.config, None, 0
    if options.run is not None:
        from stepcoder.deploy.run.export import find_checkpoint

        checkpoint = find_checkpoint(options.run, options.step)
        target, step = checkpoint.policy, checkpoint.step
        own = checkpoint.path.parent.parent / "config.yaml"
        file = file or (own if own.is_file() else None)
    root = root_of(file)
    config = load_config(file, settings, root=root, kept=options.config is None)
    if target is not None:
        if "model" in read_arguments(settings, flatten(root)):
            raise UserError("--run and --model are two models; leave one of them out")
        config = config.model_copy(update={"model": str(target)})
    if not config.data.heldout_sets and config.eval.train_limit == 0:
        raise UserError("there is nothing to evaluate: data.heldout names no file, and eval.train_limit is 0")
    config, _ = settle(config)
    ready = preflight(config, writes=False, trains=False)
    on_request(stop)
    from stepcoder.deploy.training.evaluation import evaluate

    result = evaluate(config, ready, options.programs and options.programs.absolute())
    if not result:
        raise UserError("nothing was evaluated: each problem was left out, for the reason above")
    console().print(rates_table(result, config.model if target is None else f"{options.run}, step {step}"))
    if options.out is not None:
        write_json(options.out, result)
    return 0
