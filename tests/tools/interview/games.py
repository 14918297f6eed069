"""Second solutions: games and boards."""

from collections import Counter
from itertools import accumulate

from tests.tools.interview.reference import reference, some, words


@reference(
    "medals/better_country", lambda r: (some(r, 3, lambda: r.randint(0, 2), 3), some(r, 3, lambda: r.randint(0, 2), 3))
)
def better_country(a: list[int], b: list[int]) -> str:
    return "equal" if a == b else "first" if a > b else "second"


@reference("medals/medal_points", lambda r: (some(r, 6, lambda: r.randint(0, 5)),))
def medal_points(places: list[int]) -> int:
    gains = [{0: -2, 1: 5, 2: 3, 3: 1}.get(place, 0) for place in places]
    return list(accumulate(gains, lambda total, gain: max(total + gain, 0), initial=0))[-1]


@reference(
    "tennis/game_score",
    lambda r: r.choice(
        [(a, b) for a in range(8) for b in range(8) if max(a, b) < 4 or (abs(a - b) <= 2 and min(a, b) > 1)]
        + [(4, 0), (4, 1), (0, 4), (1, 4)]
    ),
)
def game_score(a: int, b: int) -> str:
    while min(a, b) > 3:  # only the lead matters
        a, b = a - 1, b - 1
    table = {(3, 3): "deuce", (4, 3): "adv A", (3, 4): "adv B"}
    if (a, b) in table:
        return table[a, b]
    return ("win A" if a > b else "win B") if max(a, b) > 3 else f"{min(a * 15, 40)}-{min(b * 15, 40)}"


@reference(
    "tennis/match_winner",
    lambda r: (
        some(
            r,
            4,
            lambda: r.choice([[6, 4], [4, 6], [7, 6], [6, 7], [5, 2], [2, 5], [6, 5], [5, 6], [7, 5], [6, 0], [8, 6]]),
        ),
    ),
)
def match_winner(sets: list[list[int]]) -> str:
    winners = ""
    for a, b in sets:
        most, least = max(a, b), min(a, b)
        if most == 7 or most > 5 and most - 1 > least:
            winners += "A" if a == most else "B"
    ends = {name: n for name in "AB" if (n := [i for i, w in enumerate(winners) if w == name][1:2])}
    return min(ends, key=lambda name: ends[name], default="open")


@reference("blackjack/hand_value", lambda r: (words(r, "2 3 9 10 5 J Q K A A A", 5),))
def hand_value(cards: list[str]) -> int:
    plain = sum(10 if card in "JQK" else int(card) for card in cards if card != "A")
    aces = cards.count("A")
    sums = [plain + aces + 10 * n for n in range(aces + 1)]
    return max((value for value in sums if value <= 21), default=sums[0])


@reference(
    "blackjack/round_result",
    lambda r: (r.choice([15, 19, 20, 21, 22, 25]), r.choice([17, 20, 21, 22, 23]), r.randint(1, 9)),
)
def round_result(player: int, dealer: int, bet: int) -> int:
    if player > 21 or dealer > 21:
        return bet if player <= 21 else -bet
    sign = (player > dealer) - (player < dealer)
    return sign * bet * (2 if player == 21 and sign > 0 else 1)


@reference(
    "chess/can_move", lambda r: (r.choice("rook bishop queen king knight".split()), r.randint(-3, 3), r.randint(-3, 3))
)
def can_move(piece: str, dx: int, dy: int) -> bool:
    straight = {(x * n, y * n) for x, y in ((0, 1), (1, 0), (0, -1), (-1, 0)) for n in range(1, 8)}
    diagonal = {(x * n, y * n) for x in (1, -1) for y in (1, -1) for n in range(1, 8)}
    moves = {
        "rook": straight,
        "bishop": diagonal,
        "queen": straight | diagonal,
        "king": {(x, y) for x, y in straight | diagonal if x * x + y * y < 3},
        "knight": {(x, y) for x in range(-2, 3) for y in range(-2, 3) if x * x + y * y == 5},
    }
    return (dx, dy) in moves[piece]


@reference("chess/material", lambda r: ("".join(r.choice("PpNnBbRrQqKk.") for _ in range(r.randint(0, 7))),))
def material(board: str) -> int:
    counts, values = Counter(board), {"P": 1, "N": 3, "B": 3, "R": 5, "Q": 9}
    return sum(value * (counts[name] - counts[name.lower()]) for name, value in values.items())


@reference(
    "snake/snake_walk", lambda r: ("".join(r.choice("RRDDLU?") for _ in range(r.randint(0, 9))), r.randint(1, 4))
)
def snake_walk(moves: str, size: int) -> int:
    for n in range(1, len(moves) + 1):
        done = moves[:n]
        places = (done.count("R") - done.count("L"), done.count("D") - done.count("U"))
        if not all(place in range(size) for place in places):
            return n - 1
    return len(moves)


@reference("dice/dice_score", lambda r: tuple(r.randint(1, 6) for _ in range(3)))
def dice_score(a: int, b: int, c: int) -> int:
    dice = (a, b, c)
    counts = Counter(dice)
    if len(counts) == 3:
        return 30 if any(set(dice) == {n, n + 1, n + 2} for n in range(1, 5)) else max(dice)
    return 10 * a if len(counts) == 1 else sum(dice)


@reference("dice/craps", lambda r: (some(r, 5, lambda: r.randint(2, 12)),))
def craps(rolls: list[int]) -> str:
    if not rolls:
        return "open"
    first, later = rolls[0], [roll for roll in rolls[1:] if roll in (7, rolls[0])]
    if first in (2, 3, 7, 11, 12):
        return "win" if first in (7, 11) else "lose"
    return "open" if not later else "lose" if later[0] == 7 else "win"


@reference("darts/darts_left", lambda r: (r.choice([20, 41, 60, 101]), words(r, "1 20 D20 T20 D5 T7 5 D10", 5)))
def darts_left(start: int, throws: list[str]) -> int:
    for throw in throws:
        score = int(throw.lstrip("DT")) * (1 + "?DT".find(throw[0]) if throw[0] in "DT" else 1)
        start = start - score if start - score >= 0 else start
    return start


@reference(
    "volleyball/set_state",
    lambda r: (
        "".join(r.choice("AAB") for _ in range(r.randint(0, 8)))
        if r.random() < 0.5
        else "".join(r.choice("ABB") for _ in range(r.randint(0, 8))),
        r.randint(2, 4),
    ),
)
def set_state(rallies: str, goal: int) -> str:
    for n in range(len(rallies) + 1):
        a, b = rallies[:n].count("A"), rallies[:n].count("B")
        if max(a, b) >= goal and abs(a - b) > 1:
            return "A" if a > b else "B"
    return f"{rallies.count('A')}:{rallies.count('B')}"


@reference("ships/shots", lambda r: (r.sample(range(1, 7), r.randint(1, 3)), some(r, 7, lambda: r.randint(1, 7))))
def shots(ship: list[int], targets: list[int]) -> str:
    def letter(n: int) -> str:
        before, target = set(targets[:n]), targets[n]
        if target in before:
            return "R"
        if target not in ship:
            return "M"
        return "S" if set(ship) <= before | {target} else "H"

    return "".join(map(letter, range(len(targets))))


@reference("overlap/overlap_kind", lambda r: tuple(sorted(some(r, 2, lambda: r.randint(0, 6), 2)) for _ in range(2)))
def overlap_kind(a: list[int], b: list[int]) -> str:
    left, right = (set(range(first, last + 1)) for first, last in (a, b))
    if left == right:
        return "same"
    if not left & right:
        return "apart"
    return "inside" if left < right else "around" if right < left else "partly"


@reference("overlap/free_places", lambda r: (r.randint(0, 8), some(r, 3, lambda: [r.randint(-1, 7), r.randint(0, 9)])))
def free_places(size: int, blocks: list[list[int]]) -> int:
    taken = {place for first, last in blocks for place in range(first, last + 1)}
    return len(set(range(1, size + 1)) - taken)
