"""How a subtask is put to the model: statement, one line of instruction, starter code, and the given prefix.

Nothing is ever re-tokenised, so a prompt must end where a token can begin. Tokenizers merge a newline with
the indent that follows it; the prompt therefore ends without the prefix's last newline (and blank lines
before it), and the newline is the first thing that the policy writes. Invariant:
decode(ids(problem, prefix) + encode(rest)) is text(problem, prefix) + rest, for any rest.
"""

import itertools
from pathlib import Path
from string import Template
from typing import Any, Protocol

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.thoughts import marks_of

FENCE = "```python"
_ANSWER = "@answer@"  # in the place of what the model wrote
CLOSING = "```"

# Each template with the names it may use; a user's folder replaces any of them by its file name.
_TEMPLATES: dict[str, set[str]] = {
    "call": {"entry_point"},
    "method": {"class_name", "method_name"},
    "stdin": set(),
    "assert": set(),
    "starter": {"starter_code"},
    "continue": {"prefix"},
    "repair": {"told"},
}


class Tokenizer(Protocol):
    """What a prompt needs of a tokenizer of transformers."""

    chat_template: Any

    def apply_chat_template(
        self, conversation: Any, *, tokenize: bool, add_generation_prompt: bool, **arguments: Any
    ) -> Any: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


class TemplateError(ValueError):
    """A template folder, or a template in it, cannot be used."""


def given(prefix: str) -> str:
    """The part of a prefix that the prompt shows: without its last line end and the blank lines before it.

    The program to grade is `given(prefix)` + what the policy wrote.
    """
    return prefix.rstrip()


class Prompter:
    """Makes prompts as text or token ids. A tokenizer without a chat template gets the bare message."""

    def __init__(self, tokenizer: Any, config: PromptConfig) -> None:
        self.tokenizer: Tokenizer = tokenizer
        self.config = config
        self.templates = load_templates(config.templates)
        self.marks = marks_of(self.tokenizer.chat_template)

    def text(self, problem: Problem, prefix: str) -> str:
        opened = self._chat(self.message(problem, prefix))
        if self.config.form == "instruct":
            return opened
        if self.begins_a_thought(opened):
            raise TemplateError(
                "prompt.form prefill: the model's chat template opens the assistant's turn with a thought, where a "
                "program cannot begin; set prompt.form to instruct"
            )
        return opened + self._head(prefix)

    def next_turn(self, problem: Problem, prefix: str, told: str) -> str:
        """What follows an answer, where the model is `told` of its failure and asked for another program of the same
        kind: the end of its turn, the user's, and the beginning of the next."""
        told = self._fill("repair", told=told)
        parts = self._chat(self.message(problem, prefix), _ANSWER, told).rsplit(_ANSWER, told.count(_ANSWER) + 1)
        after = _ANSWER.join(parts[1:])
        return after if self.config.form == "instruct" else after + self._head(prefix)

    def _head(self, prefix: str) -> str:
        """What the prompt writes of the model's own turn."""
        head = given(prefix)
        return f"{FENCE}\n{head}" if head else FENCE

    def ids(self, problem: Problem, prefix: str) -> list[int]:
        return self.tokenizer.encode(self.text(problem, prefix), add_special_tokens=False)

    def begins_a_thought(self, opened: str) -> bool:
        """Whether a prompt ends with the mark of a thought, which the response then goes on with."""
        return self.marks is not None and opened.rstrip().endswith(self.marks.begin)

    def answer(self, problem: Problem) -> str:
        """What a model that writes the reference solution replies to `text(problem, "")`, up to its end token.

        `rollout.text.extract` takes the solution, without white space around it, out of it again.
        """
        closed = "\n" + problem.solution.strip("\r\n").rstrip() + f"\n{CLOSING}"
        return closed if self.config.form == "prefill" else FENCE + closed

    def fits(self, problem: Problem, prefix: str) -> bool:
        """Whether the prompt has at most `max_prompt_tokens` tokens."""
        return len(self.ids(problem, prefix)) <= self.config.max_prompt_tokens

    def message(self, problem: Problem, prefix: str) -> str:
        """The user's message; it quotes the prefix in the `instruct` form only."""
        parts = [problem.statement.strip(), self._instruction(problem)]
        if problem.starter_code.strip():
            parts.append(self._fill("starter", starter_code=problem.starter_code.strip("\r\n").rstrip()))
        if self.config.form == "instruct" and given(prefix):
            parts.append(self._fill("continue", prefix=given(prefix)))
        return "\n\n".join(part for part in parts if part)

    def _instruction(self, problem: Problem) -> str:
        suite = problem.suite
        if suite.style != "call" or not suite.entry_point:
            return self._fill(suite.style if suite.style != "call" else "assert")
        class_name, dot, method_name = suite.entry_point.partition("().")
        if dot:
            return self._fill("method", class_name=class_name, method_name=method_name)
        return self._fill("call", entry_point=suite.entry_point)

    def _fill(self, name: str, **values: str) -> str:
        return self.templates[name].substitute(values)

    def _chat(self, message: str, *later: str) -> str:
        """`later`: an answer and the user's next message, and so on."""
        system = self.config.system
        if self.tokenizer.chat_template is None:
            wants_bos = getattr(self.tokenizer, "add_bos_token", False)
            begin = getattr(self.tokenizer, "bos_token", None) if wants_bos else None
            said = "".join(f"{text}\n\n" for text in (message, *later))
            return "".join([begin or "", *([f"{system}\n\n"] if system else []), said])
        said = zip(itertools.cycle(("user", "assistant")), (message, *later), strict=False)
        messages = [{"role": role, "content": text} for role, text in said]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        arguments = self.config.template_arguments
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **arguments)


def load_templates(folder: str | None) -> dict[str, Template]:
    """The shipped templates, each replaced by the file of its name in `folder`, where there is one.

    Raises TemplateError for a missing folder, an unknown file name or an unknown `$name` in a template.
    """
    paths = {name: Path(__file__).parent / "templates" / f"{name}.txt" for name in _TEMPLATES}
    if folder is not None:
        if not Path(folder).is_dir():
            raise TemplateError(f"prompt.templates: {folder} is not a folder; give one with .txt files or leave it out")
        for path in sorted(Path(folder).glob("*.txt")):
            if path.stem not in _TEMPLATES:
                raise TemplateError(f"{path}: no template has this name; the names are {', '.join(sorted(_TEMPLATES))}")
            paths[path.stem] = path
    return {name: _read_template(path, _TEMPLATES[name]) for name, path in paths.items()}


def _read_template(path: Path, names: set[str]) -> Template:
    template = Template(path.read_text(encoding="utf-8").strip())
    may = ", ".join(f"${name}" for name in sorted(names)) or "no names"
    if not template.is_valid():
        raise TemplateError(f"{path}: a lone '$'; write '$$' for a dollar sign; this template may use {may}")
    unknown = set(template.get_identifiers()) - names
    if unknown:
        raise TemplateError(f"{path}: unknown ${', $'.join(sorted(unknown))}; this template may use {may}")
    return template
