"""Whether a tokenizer gives programs back unchanged, and a copy of a model whose own tokenizer does not.

A library may read a `tokenizer.json` by a class that its model type names and that does something else: prompts then
lose their indents, without an error. What is compared is what a run does with text: encode, and read the tokens back.
"""

import hashlib
import itertools
import json
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepcoder.curriculum.prompts import FENCE
from stepcoder.deploy.checks.gguf import ROUND_TRIP
from stepcoder.deploy.checks.starter_model import cache_directory, resolve_model
from stepcoder.errors import UserError
from stepcoder.files import publish, write_json


@dataclass(frozen=True, slots=True)
class Model:
    """A model by the name that it was given, for processes that may be on other machines than this one.

    `repaired`: whether it needs the copy with a sound tokenizer.
    """

    name: str
    repaired: bool = False

    def here(self) -> Path:
        path = resolve_model(self.name)
        return repaired_copy(path) if self.repaired else path


PROGRAMS = 64  # of a data set that are tried, evenly spread
AS_THE_FILE_SAYS = "PreTrainedTokenizerFast"  # the class that adds nothing to tokenizer.json
_CONFIG = "tokenizer_config.json"
_TOKENIZER = ("tokenizer.json", _CONFIG)


def exact_model(model: Path, programs: Sequence[str] = ()) -> Path:
    """`model`, or a copy of it whose tokenizer gives the programs back unchanged. UserError where there is none."""
    tried = [ROUND_TRIP, *itertools.islice(programs, 0, None, max(1, -(-len(programs) // PROGRAMS)))]
    lost = first_difference(_read(model), tried)
    if lost is None:
        return model
    if (model / "tokenizer.json").is_file():
        copy = repaired_copy(model)
        if first_difference(_read(copy), tried) is None:
            return copy
    raise UserError(
        f"model: the tokenizer of {model} does not give programs back unchanged: {lost[0]!r} comes back as "
        f"{lost[1]!r}. The model would learn from other programs than those that are run. "
        "Give a model whose tokenizer.json keeps white space, or repair it there."
    )


def _read(model: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model)
    except Exception as error:  # whatever a library makes of a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"model: the tokenizer of {model} can't be read: {reason}") from None


def first_difference(tokenizer: Any, programs: Iterable[str]) -> tuple[str, str] | None:
    """The first line that does not come back, and what comes in its place; None where all do.

    Unicode's canonical composition is no difference: several tokenizers compose what they read.
    """
    from stepcoder.rollout.text.offsets import TokenSpans

    read = TokenSpans(tokenizer)
    for program in programs:
        text = unicodedata.normalize("NFC", f"{FENCE}\n{program}")
        back = unicodedata.normalize("NFC", read(tokenizer.encode(text, add_special_tokens=False))[0])
        if back != text:
            lines = itertools.zip_longest(text.splitlines(), back.splitlines(), fillvalue="")
            return next(((a, b) for a, b in lines if a != b), (text[-20:], back[-20:]))
    return None


def repaired_copy(model: Path) -> Path:
    """Links to the model's files beside a tokenizer that is read as its file says; made once in the cache.

    Anyone may call it on any machine that has the model.
    """
    digest = hashlib.sha256(str(model.resolve()).encode())
    for name in _TOKENIZER:
        digest.update((model / name).read_bytes() if (model / name).is_file() else b"")
    target = cache_directory() / "repaired" / f"{model.name[:40]}-{digest.hexdigest()[:16]}"
    if target.is_dir() and all(file.exists() for file in target.iterdir()):
        return target
    shutil.rmtree(target, ignore_errors=True)  # its links lead nowhere
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".repairing-", dir=target.parent))
    try:
        scratch.chmod(0o755)
        for file in model.iterdir():
            if file.name != _CONFIG:
                (scratch / file.name).symlink_to(file.resolve())
        kept = json.loads((model / _CONFIG).read_text("utf-8")) if (model / _CONFIG).is_file() else {}
        write_json(scratch / _CONFIG, kept | {"tokenizer_class": AS_THE_FILE_SAYS})
        try:
            publish(scratch, target)
        except OSError:  # another process was faster; what it wrote is the same
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
