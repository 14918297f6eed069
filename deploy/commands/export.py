"""`stepcoder export`."""

import argparse
from pathlib import Path

from stepcoder.words import plural

EXAMPLES = """\
examples:
  stepcoder export --run runs/starter --out my-model
  stepcoder export --run runs/starter --best --out my-model
  stepcoder export --run s3://bucket/run --step 200 --out my-model --dtype float16"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser(
        "export", help="write the trained model as a Hugging Face directory", epilog=EXAMPLES,
        description="Write a checkpoint's policy and tokenizer for transformers and vLLM.",
    )  # fmt: skip
    export.add_argument("--run", metavar="DIR", required=True, help="run directory or URI")
    which = export.add_mutually_exclusive_group()
    which.add_argument(
        "--step", type=int, metavar="N", help="checkpoint of this step (default: the newest complete one)"
    )
    which.add_argument(
        "--best", nargs="?", const="", metavar="METRIC",
        help="the checkpoint with the highest METRIC of metrics.jsonl (default: the run's run.best_metric)",
    )  # fmt: skip
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="new or empty directory to write to")
    export.add_argument(
        "--dtype", choices=("bfloat16", "float16", "float32"), help="number format (default: as trained)"
    )


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.run.export import best_checkpoint, find_checkpoint
    from stepcoder.deploy.run.export import export as write

    if options.best is None:
        checkpoint = find_checkpoint(options.run, options.step)
    else:
        checkpoint = best_checkpoint(options.run, options.best)
    out = write(checkpoint, options.out, options.dtype)
    print(f"{out}: the policy after {plural(checkpoint.step, 'step')}")
    return 0
