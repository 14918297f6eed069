"""`stepcoder data refine`: every entry of a data set is run (judge), then it is decided what is kept (keep)."""

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.examine import Finding
from stepcoder.curriculum.data.files import beside
from stepcoder.curriculum.data.judge import KEYS, Pools, identity, judge
from stepcoder.curriculum.data.keep import Outcome, sort_out
from stepcoder.curriculum.data.near_duplicates import EvaluationTexts
from stepcoder.curriculum.data.refinement import Refinement
from stepcoder.errors import UserError
from stepcoder.executor.grading.files import ResultFile, read_results
from stepcoder.words import plural


def refine(
    job: Refinement, against: EvaluationTexts, release: str, progress: WorkProgress, anew: bool = False
) -> Outcome:
    """Goes on with the findings of an interrupted run, unless it is to begin `anew`.

    UserError where they belong to other data, settings or another release, or the sandbox keeps failing.
    """
    results = ResultFile(beside(job.out, "findings.jsonl"), identity(job, release), KEYS)
    with Pools(job.config, job.effort) as pools:
        if anew:
            results.discard()
        entries = plural(job.source.entries, "entry", "entries")
        if results.finished():
            progress.message(f"{results.out}: everything was run before; --force runs it anew")
        else:
            progress.message(f"running the solutions of {entries}")
            with results:
                judge(job, pools, results, progress)
        if (found := sum(1 for _ in read_results(results.out, KEYS))) != job.source.entries:
            raise UserError(f"{results.out}: {plural(found, 'finding')} for {entries}; --force begins anew")
        progress.message("looking for duplicates and writing what is kept")
        findings = (Finding.from_json(record) for record in read_results(results.out, KEYS))
        return sort_out(job, findings, against, pools.solutions, progress)
