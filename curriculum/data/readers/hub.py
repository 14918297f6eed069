"""Data sets of the Hugging Face hub by name, streamed: `hub:OWNER/NAME[,config=C][,split=S][,revision=R]`.

The rows come through the library `datasets`, which runs no code of a data set and needs neither memory nor disk for the
whole. `hub:./FOLDER` is a folder laid out like a data set of the hub.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from stepcoder.errors import DataFileError

PREFIX = "hub:"
_CONVERTED = "refs/convert/parquet"  # the hub's own conversion of a data set


@dataclass(frozen=True, slots=True)
class HubData:
    """One split of a data set. As `pinned` gives it, nothing is left open and `revision` is a commit."""

    name: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        told = ((f.name, getattr(self, f.name)) for f in fields(self)[1:])
        return PREFIX + ",".join([self.name, *(f"{key}={value}" for key, value in told if value is not None)])

    @property
    def folder(self) -> Path | None:
        """Where it is no name of the hub."""
        return Path(self.name).expanduser() if self.name.startswith((".", "/", "~")) else None


Location = Path | HubData


def parse_hub(text: str) -> HubData:
    """What follows `hub:`. ValueError with what may follow."""
    name, *settings = text.removeprefix(PREFIX).split(",")
    known = [field.name for field in fields(HubData)[1:]]
    given: dict[str, str] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in known or not value or key in given:
            raise ValueError(f"{setting!r} is not {', '.join(f'{k}=...' for k in known)}, each once, after a comma")
        given[key] = value
    if not name:
        raise ValueError("no name of a data set; give one such as hub:openai/openai_humaneval")
    return HubData(name, **given)


def pinned(data: HubData) -> HubData:
    """The data set as it is now: commit, configuration and split decided. DataFileError with what to do."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise _error(data, "needs the library `datasets`: pip install 'stepcoder[hub]'") from None
    if data.folder is not None:
        if not data.folder.is_dir():
            raise _error(data, "no such folder")
        data = replace(data, name=str(data.folder))
    else:
        data = replace(data, revision=_commit(data))
    try:
        configs = datasets.get_dataset_config_names(data.name, revision=data.revision)
        usual = datasets.get_dataset_default_config_name(data.name, revision=data.revision)
        config = _one_of(data, "config", configs, data.config or usual)
        splits = datasets.get_dataset_split_names(data.name, config, revision=data.revision)
        return replace(data, config=config, split=_one_of(data, "split", splits, data.split))
    except DataFileError:
        raise
    except Exception as error:  # each of the libraries underneath has errors of its own
        hint = f"; try {replace(data, revision=_CONVERTED)}" if "scripts are no longer supported" in str(error) else ""
        raise _error(data, f"cannot be read: {error}{hint}") from error


def hub_rows(data: HubData, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a pinned data set, a few in memory at a time. DataFileError where the network fails for good."""
    from datasets import load_dataset

    try:
        rows: Any = load_dataset(data.name, data.config, split=data.split, revision=data.revision, streaming=True)
        if columns is not None and rows.column_names:
            rows = rows.select_columns([name for name in rows.column_names if name in columns])
        yield from rows
    except Exception as error:  # each of the libraries underneath has errors of its own
        raise _error(data, f"cannot be read: {error}") from error


def _commit(data: HubData) -> str | None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if os.path.exists(data.name):
        raise _error(data, f"is a file or folder here, too; write hub:./{data.name} for it, or rename it")
    try:
        return HfApi().dataset_info(data.name, revision=data.revision).sha
    except GatedRepoError as error:
        raise _error(data, "must be applied for on its page; then 'hf auth login'") from error
    except RevisionNotFoundError as error:
        raise _error(data, "no such revision") from error
    except RepositoryNotFoundError as error:
        raise _error(data, "no such data set, or a private one ('hf auth login')") from error
    except Exception as error:  # no network, a proxy's refusal, a name that can be none: each has errors of its own
        raise _error(
            data,
            f"the hub does not answer ({error}). Without network: where there is one, 'hf download --repo-type dataset "
            f"{data.name} --local-dir DIR', and give that folder",
        ) from error


def _one_of(data: HubData, what: str, known: list[str], wanted: str | None) -> str:
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted not in known:
        problem = f"has several {what}s:" if wanted is None else f"has no {what} {wanted!r}; known:"
        first = replace(data, revision=None, **{what: known[0]}) if known else data
        raise _error(data, f"{problem} {', '.join(known)}; choose as in {first}")
    return wanted


def _error(data: HubData, reason: str) -> DataFileError:
    return DataFileError(str(data), None, None, reason)
