"""Which format a data set is in, by the fields of its first entry."""

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

from stepcoder.curriculum.data.readers.evalplus import is_plus
from stepcoder.curriculum.data.readers.files import entries
from stepcoder.curriculum.data.readers.hub import Location

_LOOKED_AT = 20  # entries, where the first ones are damaged
# Of each format the fields that its entries have; of alternatives one is enough.
_FIELDS: dict[str, tuple[frozenset[str], ...]] = {
    format: tuple(frozenset(words.split()) for words in alternatives)
    for format, alternatives in {
        "native": ["id style tests", "id style module"],
        "apps": ["question input_output solutions", "question input_output starter_code"],
        "apps_plus": [
            "prompt inputs outputs canonical_solution",
            "prompt inputs outputs starter_code",
            "prompt input_output canonical_solution",
        ],
        "taco": [
            f"question input_output {code} {kind}"
            for code in ("solutions", "starter_code")
            for kind in ("skill_types", "raw_tags", "tags")
        ],
        "mbpp": ["task_id test_list code"],
        "mbpp_plus": ["task_id prompt entry_point canonical_solution base_input plus_input assertion"],
        "humaneval": ["task_id prompt entry_point canonical_solution test"],
        "humaneval_plus": ["task_id prompt entry_point canonical_solution base_input plus_input"],
        "leetcode": ["task_id completion entry_point test", "task_id entry_point test query"],
        "codecontests": [
            "description public_tests", "description private_tests", "description correct_submissions",
            "description generated_tests", "description corner_cases", "statement inputs outputs solution",
            "statement inputs outputs tags",
        ],
        "livecodebench": ["question_content public_test_cases", "question_content private_test_cases"],
        "deepcoder": ["problem tests"],
        "primeintellect": [f"verification_info {prompt}" for prompt in ("prompt", "problem", "problem_statement")],
        "acecode": ["question test_cases", "question tests"],
        "kodcode": ["question solution test"],
        "verl": ["prompt reward_model"],
        "rstar_coder": ["question inputs outputs func_name", "question inputs outputs test_case_type"],
        "open_r1_codeforces": ["description official_tests", "description input_format official_tests"],
        "nemotron": ["responses_create_params verifier_metadata"],
    }.items()
}  # fmt: skip


def detected(path: Location) -> str:
    """The format of a file, a folder or a data set of the hub. ValueError with the candidates where it is not clear."""
    if isinstance(path, Path) and path.is_dir() and next(path.rglob("question.txt"), None):
        return "apps"
    faults: list[str] = []
    for where, entry in islice(entries(path), _LOOKED_AT):
        if isinstance(entry, dict):
            return _of(entry)
        faults.append(f"{where}: {entry.reason}{f' ({entry.detail})' if entry.detail else ''}")
    raise ValueError(f"no entry can be read: {faults[0]}" if faults else "holds no entry")


def _of(entry: dict[str, Any]) -> str:
    found = {
        format: max((len(needed) for needed in alternatives if needed <= entry.keys()), default=0)
        for format, alternatives in _FIELDS.items()
    }
    most = max(found.values())
    best = [format for format, count in found.items() if count == most]
    if not most:
        raise ValueError(f"no known format has the fields {_told(entry)}; name the format with --from")
    if len(best) > 1:
        raise ValueError(
            f"may be {' or '.join(best)}, by its fields {_told(entry)}; name the one that it is: --from {best[0]}"
        )
    return f"{best[0]}_plus" if best[0] in ("mbpp", "humaneval") and is_plus(entry) else best[0]


def _told(fields: Collection[str]) -> str:
    return ", ".join(sorted(fields)[:20])
