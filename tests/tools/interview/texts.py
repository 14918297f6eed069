"""Second solutions: texts, versions, codes."""

import csv
import re
from itertools import groupby, takewhile

from tests.tools.interview.reference import reference, some, words


@reference("lexer/count_tokens", lambda r: ("".join(r.choice("ab12 +(ß") for _ in range(r.randint(0, 8))),))
def count_tokens(text: str) -> int:
    return len(re.findall(r"\d+|[^\W\d_]+|[^ ]", text))


@reference(
    "lexer/kind_of_token",
    lambda r: (
        r.choice(["", "'", "''", "_", "1", "12", "a1", "1a", "x_y", "'a'", "a'", "'a", "a-b", "?", "_9", "9_"])
        if r.random() < 0.7
        else "".join(r.choice("a1_'-") for _ in range(r.randint(0, 4))),
    ),
)
def kind_of_token(token: str) -> str:
    kinds = {"number": r"\d+", "name": r"[^\W\d]\w*", "string": r"'.*'"}
    return next((kind for kind, pattern in kinds.items() if re.fullmatch(pattern, token)), "other")


@reference("undo/edit_text", lambda r: (words(r, "a bc undo undo clear del", 8),))
def edit_text(commands: list[str]) -> str:
    kept: list[str] = []
    for command in commands:
        kept = kept[:-1] if command == "undo" else [*kept, command]
    text = ""
    for command in kept:
        text = "" if command == "clear" else text[:-1] if command == "del" else text + command
    return text


@reference("undo/print_counter", lambda r: (" ".join(words(r, "up up down double back", 8)) + "\n",))
def print_counter(text: str) -> str:
    counts = [0, 0]  # before the last change, now
    steps = {"up": lambda n: n + 1, "down": lambda n: n - 1, "double": lambda n: 2 * n}
    for word in text.split():
        counts = [counts[0], counts[0]] if word == "back" else [counts[1], steps[word](counts[1])]
    return f"{counts[1]}\n"


@reference(
    "csv/split_fields", lambda r: (",".join(some(r, 4, lambda: r.choice(["", "x", "ab", '"a,b"', '","', '"c"']), 1)),)
)
def split_fields(line: str) -> list[str]:
    return next(csv.reader([line]), []) or [""]


@reference(
    "versions/compare_versions",
    lambda r: tuple(".".join(str(r.choice([0, 0, 1, 2, 10])) for _ in range(r.randint(1, 3))) for _ in range(2)),
)
def compare_versions(a: str, b: str) -> int:
    left, right = ([*map(int, (text + ".0" * 9).split("."))][:9] for text in (a, b))
    return (left > right) - (left < right)


@reference(
    "versions/next_version",
    lambda r: (
        f"{r.randint(0, 2)}.{r.randint(0, 10)}.{r.randint(0, 3)}",
        r.choice(["major", "minor", "patch", "none"]),
    ),
)
def next_version(version: str, change: str) -> str:
    numbers = [int(part) for part in version.split(".")]
    order = ["major", "minor", "patch"]
    if change not in order:
        return version
    place = 1 if change == "major" and numbers[0] == 0 else order.index(change)
    numbers = [*numbers[:place], numbers[place] + 1, 0, 0][:3]
    return ".".join(map(str, numbers))


@reference(
    "ranges/expand_ranges",
    lambda r: (",".join(some(r, 3, lambda: r.choice([str(r.randint(0, 9)), f"{r.randint(0, 9)}-{r.randint(0, 9)}"]))),),
)
def expand_ranges(text: str) -> list[int]:
    numbers = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        a, b = int(first), int(last or first)
        numbers += range(a, b + 1) if a < b else reversed(range(b, a + 1))
    return numbers


@reference("ranges/summarize", lambda r: (sorted(r.sample(range(9), r.randint(0, 7))),))
def summarize(numbers: list[int]) -> str:
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


@reference(
    "phone/phone_kind",
    lambda r: (
        r.choice(["112", "911", "113", ""])
        if r.random() < 0.3
        else r.choice(["07", "09", "01", "17", "97"])
        + "".join(r.choice("0179") for _ in range(r.choice([7, 8, 8, 8, 9]))),
    ),
)
def phone_kind(number: str) -> str:
    kinds = {r"112|911": "emergency", r"07\d{8}": "mobile", r"09\d{8}": "premium", r"0\d{9}": "landline"}
    return next((kind for pattern, kind in kinds.items() if re.fullmatch(pattern, number)), "wrong")


@reference(
    "phone/clean_number",
    lambda r: (
        r.choice(["", "+", "1", "x"])
        + "".join(r.choice("0123-- +"[: r.choice([6, 7, 7, 8])]) for _ in range(r.randint(0, 6))),
    ),
)
def clean_number(text: str) -> str:
    bare = re.sub(r"^\+", "00", text).replace("-", "").replace(" ", "")
    return bare if re.fullmatch(r"\d{3,}", bare) else "wrong"


@reference(
    "logs/print_worst",
    lambda r: (lambda lines: (f"{len(lines)}\n" + "".join(f"{line} x\n" for line in lines),))(
        words(r, "INFO INFO WARN WARN ERROR" if r.random() < 0.5 else "INFO WARN", 6)
    ),
)
def print_worst(text: str) -> str:
    kinds = [line.split()[0] for line in text.splitlines()[1:]]
    level = max((kinds.count("ERROR") > 0) * 2, (kinds.count("WARN") > 2) * 2, (kinds.count("WARN") > 0) * 1)
    return f"{['OK', 'WARN', 'ERROR'][level]}\n"


@reference("logs/merge_repeats", lambda r: (words(r, "a a b c", 7),))
def merge_repeats(lines: list[str]) -> list[str]:
    counted = [(line, len(list(run))) for line, run in groupby(lines)]
    return [line + (f" (x{count})" if count > 1 else "") for line, count in counted]


@reference("text/wrap_words", lambda r: (words(r, "a bc def ghij klmnop |", 7), r.randint(3, 8)))
def wrap_words(words: list[str], width: int) -> list[str]:
    cut = [word[:width] for word in " ".join(words).replace("|", "\n").split(" ")]
    lines: list[str] = []
    for paragraph in " ".join(cut).split("\n"):
        rest = paragraph.split()
        while rest:
            most = max(n for n in range(1, len(rest) + 1) if n == 1 or len(" ".join(rest[:n])) <= width)
            lines.append(" ".join(rest[:most]))
            rest = rest[most:]
    return lines


@reference("text/title_words", lambda r: (" ".join(words(r, "the of and a end b12 room x 3d", 5, 1)),))
def title_words(text: str) -> str:
    def title(match: re.Match[str]) -> str:
        word = match[0]
        small = word in {"a", "the", "of", "and"} and match.start() > 0
        return word if small or re.search(r"\d", word) else word[0].upper() + word[1:]

    return re.sub(r"\S+", title, text)


@reference(
    "colour/colour_name",
    lambda r: (
        tuple(r.choice([-1, 0, 49, 50, 90, 205, 206, 255, 256]) for _ in range(3))
        if r.random() < 0.5
        else tuple(r.choice([30, 60, 210]) for _ in range(3))
    ),
)
def colour_name(red: int, green: int, blue: int) -> str:
    values = [red, green, blue]
    if any(value not in range(256) for value in values):
        return "wrong"
    for name, holds in (("black", range(50)), ("white", range(206, 256)), ("grey", [red])):
        if all(value in holds for value in values):
            return name
    return ["red", "green", "blue"][values.index(max(values))]


@reference(
    "colour/hex_digits",
    lambda r: (
        r.choice(["#", "#", "#", ""])
        + "".join(r.choice("0aFg9B"[: r.choice([6, 3, 3])]) for _ in range(r.choice([2, 3, 6, 6, 3, 7]))),
    ),
)
def hex_digits(text: str) -> str:
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return text[1:].lower()
    return re.sub(".", r"\g<0>\g<0>", text[1:]).lower() if re.fullmatch(r"#[0-9a-fA-F]{3}", text) else ""


@reference("lock/turn_wheel", lambda r: (r.randint(0, 9), words(r, "+3 +9 -2 -7 0 x ?", 5)))
def turn_wheel(start: int, turns: list[str]) -> int:
    resets = list(takewhile(lambda turn: turn != "0", reversed(turns)))
    begin = start if len(resets) == len(turns) else 0
    return (begin + sum(5 if turn == "x" else 0 if turn == "?" else int(turn) for turn in resets)) % 10


@reference(
    "email/address_fault",
    lambda r: (
        r.choice(["ann", "", "a b", "@"])
        + r.choice(["@", "@", "@", "", "@@"])
        + r.choice(["x.org", "x", "x.", ".", "", "a.b.c", "x. y"]),
    ),
)
def address_fault(address: str) -> str:
    faults = {"space": r"[^ ]*", "at": r"[^@]*@[^@]*", "name": r"[^@]+@.*", "host": r".*@.*\..*(?<!\.)"}
    return next((name for name, pattern in faults.items() if not re.fullmatch(pattern, address)), "")


@reference(
    "email/sort_mail",
    lambda r: (
        some(
            r,
            4,
            lambda: r.choice(
                [
                    "Hello",
                    "You WIN",
                    "Re: free lunch",
                    "[team] plan",
                    "Free [x]",
                    "Re: [a] win",
                    "re: free",
                    "Re: hi",
                    "twins",
                ]
            ),
        ),
    ),
)
def sort_mail(subjects: list[str]) -> list[int]:
    def folder(subject: str) -> int:
        if re.search("free|win", subject, re.IGNORECASE) and subject[:3] != "Re:":
            return 1
        return 2 if subject.find("[") >= 0 else 0

    return [sum(folder(subject) == n for subject in subjects) for n in range(3)]
