"""Second solutions of the other held-out problems."""

import math
import re
from bisect import bisect_left
from collections import Counter
from fractions import Fraction
from itertools import accumulate

from tests.tools.interview.reference import reference, some, words


@reference(
    "metro/metro_fare", lambda r: (r.randint(1, 4), r.choice([3, 5, 6, 15, 16, 30, 64, 65, 80]), r.random() < 0.5)
)
def metro_fare(zones: int, age: int, peak: bool) -> int:
    full = [200, 300, 400][min(zones, 3) - 1]
    share = 0 if age < 6 else Fraction(1, 1 if 16 <= age < 65 else 2)
    return int(full * share) + (50 if peak and share else 0)


@reference(
    "dose/daily_dose", lambda r: (r.choice([30, 49, 50, 80]), r.choice([5, 11, 12, 40, 69, 70, 71]), r.randint(-1, 9))
)
def daily_dose(weight: int, age: int, times: int) -> int:
    pills = 1 if age <= 11 else 2 if weight <= 49 else 3
    return sorted([pills * times, 8 if age <= 69 else 6])[0] if times >= 1 else -1


@reference(
    "coffee/coffee_machine",
    lambda r: (
        words(
            r,
            "small small large large water beans off"
            if r.random() < 0.4
            else "small small large large large water water beans",
            9,
        ),
    ),
)
def coffee_machine(presses: list[str]) -> int:
    stock, made = {"water": 2, "beans": 3}, 0
    for press in presses[: [*presses, "off"].index("off")]:
        wanted = {"small": {"water": 1, "beans": 1}, "large": {"water": 2, "beans": 1}}.get(press)
        if wanted is None:
            stock[press] = 4 if press == "water" else stock["beans"] + 2
        elif all(stock[name] >= n for name, n in wanted.items()):
            stock, made = {name: stock[name] - n for name, n in wanted.items()}, made + 1
    return made


@reference("coffee/print_queue", lambda r: (" ".join(words(r, "espresso latte tea mocha mocha latte", 9)) + "\n",))
def print_queue(text: str) -> str:
    drinks = text.split()
    waits = accumulate((({"espresso": 1, "latte": 3, "tea": 2}).get(drink, 5) for drink in drinks), initial=0)
    return f"{sum(wait > 10 for wait in list(waits)[: len(drinks)])}\n"  # a wait only grows, so who leaves adds nothing


@reference(
    "alarm/alarm_state",
    lambda r: (words(r, "arm arm door window 42 41 7" if r.random() < 0.5 else "arm 41 7 9 door", 8), "42"),
)
def alarm_state(events: list[str], code: str) -> str:
    since = events[len(events) - events[::-1].index(code) :] if code in events else events
    if "arm" not in since:
        return "off"
    armed = since.index("arm")
    wrong = [n for n, event in enumerate(since) if event not in ("arm", "door", "window")]
    rings = [n for n, event in enumerate(since) if event in ("door", "window") and n > armed]
    rings += [n for n in wrong[2:] if n > armed]
    return "ringing" if rings else "on"


@reference("lock/try_codes", lambda r: ("12", words(r, "11 13 1 123 12" if r.random() < 0.5 else "11 21 1 123", 6)))
def try_codes(code: str, tries: list[str]) -> str:
    letters = "".join("o" if t == code else "w" * (len(t) == len(code)) for t in tries)
    found = re.match(r"w{0,2}o|www", letters)
    return "closed" if found is None else "open" if found[0].endswith("o") else "blocked"


@reference(
    "exam/exam_result",
    lambda r: (
        (some(r, 4, lambda: r.choice([19, 20, 39, 40, 50, 55, 79, 80, 95])),)
        if r.random() < 0.7
        else (some(r, 3, lambda: r.choice([79, 80, 81])),)
    ),
)
def exam_result(marks: list[int]) -> str:
    if len(marks) == 0:
        return "empty"
    worst = sorted(marks)
    if (
        Fraction(sum(marks), len(marks)) < 50
        or worst[0] < 20
        or worst[:2] != [m for m in worst[:2] if m >= 40 or m == worst[0]]
    ):
        return "failed"
    if len(worst) > 1 and worst[1] < 40:
        return "failed"
    return "honours" if worst[0] >= 80 else "passed"


@reference(
    "exam/print_points",
    lambda r: (lambda right: (f"{right}\n{''.join(r.choice([c, c, c, '-', 'x']) for c in right)}\n",))(
        "".join(r.choice("abcd") for _ in range(r.randint(1, 8)))
    ),
)
def print_points(text: str) -> str:
    right, given = text.splitlines()
    marks = "".join("=" if a == b else "-" if b == "-" else "x" for a, b in zip(right, given, strict=True))
    counts = Counter(marks)
    return f"{max(0, 3 * counts['='] - counts['x'] + 2 * marks.count('==='))}\n"


@reference(
    "plants/water_plant",
    lambda r: (words(r, "rain rain rain sun cloud wind" if r.random() < 0.6 else "sun cloud cloud rain", 6),),
)
def water_plant(days: list[str]) -> str:
    levels = list(accumulate(({"rain": 2, "sun": -2, "cloud": -1}.get(day, 0) for day in days), initial=3))
    if min(levels) < 1 or max(levels) > 8:
        return "dead"
    return ("dry", "fine", "wet")[(levels[-1] > 2) + (levels[-1] > 5)]


@reference(
    "rental/bike_rental",
    lambda r: (
        r.choice([1, 29, 30, 31, 45, 46, 60, 61, 100, 200]),
        r.choice(["city", "electric", "child"]),
        r.random() < 0.4,
    ),
)
def bike_rental(minutes: int, kind: str, damaged: bool) -> int:
    quarters = max(0, math.ceil(Fraction(minutes - 30, 15)))
    price = (0 if kind == "child" else 3) + quarters * (2 if kind == "electric" else 1)
    return min(10, price) + 20 * damaged


@reference("toll/print_toll", lambda r: (" ".join(words(r, "car car truck bus bike horse", 12)) + "\n",))
def print_toll(text: str) -> str:
    prices, vehicles = {"car": 4, "truck": 10, "bus": 6, "bike": 0}, text.split()
    paid = [prices[vehicle] for vehicle in vehicles if prices.get(vehicle)]
    return f"{sum(paid) - 2 * (len(paid) // 5)} {sum(vehicle not in prices for vehicle in vehicles)}\n"


@reference("ferry/load_ferry", lambda r: (some(r, 7, lambda: r.randint(1, 9)), r.randint(4, 9)))
def load_ferry(vehicles: list[int], length: int) -> int:
    queue, trips = [vehicle for vehicle in vehicles if vehicle <= length], 0
    while queue:
        most = max(n for n in range(1, len(queue) + 1) if sum(queue[:n]) <= length)
        queue, trips = queue[most:], trips + 1
    return trips


@reference(
    "ferry/crossing_times",
    lambda r: (some(r, 4, lambda: r.choice([0, 9, 10, 11, 40, 109, 110, 111, 130])), 10, r.choice([15, 30])),
)
def crossing_times(arrivals: list[int], first: int, every: int) -> list[int]:
    table = list(range(first, first + 1000, every))
    return [-1 if arrival - first > 100 else table[bisect_left(table, arrival)] for arrival in arrivals]


@reference(
    "gears/next_gear",
    lambda r: (r.randint(0, 5), r.choice([900, 1199, 1200, 1500, 1799, 1800, 3000, 3001, 4000]), r.random() < 0.5),
)
def next_gear(gear: int, turns: int, brake: bool) -> int:
    down = turns < (1800 if brake else 1200)
    up = turns > 3000 and not brake
    return gear and min(5, max(1, gear + up - down))
