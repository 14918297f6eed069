"""Second solutions: prices, machines, queues."""

import math
from fractions import Fraction
from functools import reduce
from typing import Any

from tests.tools.interview.reference import reference, some, words


@reference(
    "parking/parking_fee",
    lambda r: (r.choice([0, 15, 16, 59, 60, 61, 600, 1440, 1500, 3000]) + r.randint(-1, 1), r.random() < 0.5),
)
def parking_fee(minutes: int, member: bool) -> int:
    days, rest = divmod(minutes, 1440)
    fee = 0 if minutes <= 15 else 18 * days + min(18, 2 * math.ceil(Fraction(rest, 60)))
    return math.floor(Fraction(fee, 1 + member))


@reference(
    "parking/can_park", lambda r: (r.choice(["red", "blue", "white", "green"]), r.randint(0, 26), r.random() < 0.5)
)
def can_park(zone: str, hours: int, permit: bool) -> bool:
    limits = {("red", False): -1, ("red", True): -1, ("blue", False): 2, ("blue", True): math.inf}
    return hours <= limits.get((zone, permit), 24 if permit else 8)


@reference(
    "thermostat/heating_action",
    lambda r: (r.choice([4, 5, 6, 30, 31, *range(15, 26)]), r.randint(18, 22), r.random() < 0.5),
)
def heating_action(temperature: int, target: int, on: bool) -> str:
    if not 5 <= temperature <= 30:
        return "alarm"
    far = temperature - target if on else target - temperature
    return {True: "off", False: "on"}[on] if far > 1 else "wait"


@reference("thermostat/heating_hours", lambda r: (some(r, 8, lambda: r.randint(15, 25)), 18, r.choice([20, 22])))
def heating_hours(temperatures: list[int], low: int, high: int) -> int:
    def on(hour: int) -> bool:  # by the last hour that decided
        for t in reversed(temperatures[: hour + 1]):
            if t < low or t > high:
                return t < low
        return False

    return sum(on(hour) for hour in range(len(temperatures)))


@reference("elevator/next_stop", lambda r: (r.randint(2, 5), r.random() < 0.5, some(r, 4, lambda: r.randint(0, 8))))
def next_stop(floor: int, up: bool, calls: list[int]) -> int:
    wanted = set(calls) - {floor}
    ahead = [c for c in wanted if (c > floor) == up]
    return min(ahead or wanted or {floor}, key=lambda call: abs(call - floor))


@reference(
    "elevator/lift_load",
    lambda r: (some(r, 6, lambda: [r.choice(["in", "in", "out", "empty"]), r.randint(0, 6)]), r.randint(2, 6)),
)
def lift_load(events: list[list[Any]], capacity: int) -> int:
    people, behind = [], []
    for kind, n in events:
        if kind == "in":
            for _ in range(n):
                (people if len(people) < capacity else behind).append(1)
        else:
            del people[: len(people) if kind == "empty" else n]
    return len(behind)


@reference(
    "tax/income_tax",
    lambda r: (
        r.choice([0, 9999, 10000, 10005, 12000, 29999, 30000, 31000, 40000]) + 1000 * r.randint(0, 2),
        r.randint(0, 3),
    ),
)
def income_tax(income: int, children: int) -> int:
    income -= 1000 * children
    steps = [(0, 0), (10000, 100 + (income - 10000) // 5), (30000, 500)]
    return sum(tax for limit, tax in steps[1:] if income >= limit)


@reference(
    "tax/net_price",
    lambda r: (
        r.choice([9, 30, 41, 42, 47, 48, 49, 50, 51, 99, 100]),
        r.choice(["food", "book", "toy"]),
        r.random() < 0.6,
    ),
)
def net_price(price: int, kind: str, member: bool) -> int:
    gross = math.floor(price * (1 + Fraction({"food": 5, "book": 0}.get(kind, 20), 100)))
    return gross - 10 * (member and gross >= 50)


@reference(
    "tax/print_receipt",
    lambda r: (
        "".join(
            f"{r.choice(['pen', 'bag'])} {r.choice([1, 4, 9, 10, 11, 12])} {r.randint(1, 4)}\n"
            for _ in range(r.randint(0, 4))
        )
        + "end\n",
    ),
)
def print_receipt(text: str) -> str:
    things = [(int(price), int(count)) for _, price, count in map(str.split, text.splitlines()[:-1])]
    each = [(price - (count > 2), count) for price, count in things]
    return f"{sum((price + 2 * (price > 9)) * count for price, count in each)}\n"


@reference(
    "vending/vend", lambda r: (some(r, 5, lambda: r.choice([1, 5, 10, 20, 50, 100])), r.choice([5, 15, 30, 50, 65]))
)
def vend(coins: list[int], price: int) -> str:
    good = [coin for coin in coins if coin in {5, 10, 20, 50}]
    sums = [sum(good[: n + 1]) for n in range(len(good))]
    first = next((paid for paid in sums if paid >= price), None)
    if first is None:
        return f"short {price - sum(good)}"
    return f"change {first - price}" if first > price else "thanks"


@reference(
    "vending/print_stock",
    lambda r: (f"{r.randint(0, 2)} {r.randint(0, 2)}\n{' '.join(words(r, 'cola water any', 5))}\n",),
)
def print_stock(text: str) -> str:
    head, line = text.split("\n")[:2]
    left, lost = dict(zip(("cola", "water"), map(int, head.split()), strict=True)), 0
    for wish in line.split():
        offers = [kind for kind in ("cola", "water") if wish in (kind, "any") and left[kind]]
        if offers:
            left[offers[0]] -= 1
        lost += not offers
    return f"{lost}\n"


@reference(
    "battery/battery_level",
    lambda r: (r.choice([3, 5, 13, 19, 20, 21, 50, 95]), words(r, "charge video call idle idle", 5)),
)
def battery_level(level: int, events: list[str]) -> int | str:
    for event in events:
        saved = 2 * (level < 20)
        level = {
            "charge": min(100, level + 20),
            "video": level - 15 + saved,
            "call": level - 5 + saved,
        }.get(event, level)
        if level < 1:
            return "dead"
    return level


@reference(
    "hotel/book_rooms",
    lambda r: (r.randint(2, 6), some(r, 6, lambda: [r.choice(["book", "book", "cancel", "close"]), r.randint(1, 4)])),
)
def book_rooms(rooms: int, requests: list[list[Any]]) -> int:
    taken = 0
    for kind, n in requests[: [*(k for k, _ in requests), "close"].index("close")]:
        after = taken + n if kind == "book" else max(taken - n, 0)
        taken = after if after <= rooms else taken
    return rooms - taken


@reference("bus/bus_ride", lambda r: (r.randint(0, 3), some(r, 4, lambda: [r.randint(0, 4), r.randint(0, 5)])))
def bus_ride(seats: int, stops: list[list[int]]) -> list[int]:
    riding = left = 0
    for off, on in stops:
        wanted = riding - min(off, riding) + on
        riding = min(wanted, seats + 2)
        left += wanted - riding
    return [riding, left]


@reference(
    "library/late_fee",
    lambda r: (r.choice([0, 2, 3, 4, 5, 13, 14, 19, 20, 21, 29, 31, 50]), r.choice(["book", "film", "map"])),
)
def late_fee(days: int, kind: str) -> int:
    fee = days * (1 + ["book", "map", "film"].index(kind)) + 10 * (days // 21 > 0)
    return 0 if days < 4 else sorted([fee, 40])[0]


@reference("library/print_lent", lambda r: (" ".join(words(r, "lend return lend return lost", 7)) + "\n",))
def print_lent(text: str) -> str:
    follows = {("there", "lend"): "lent", ("lent", "return"): "there", ("there", "lost"): "", ("lent", "lost"): ""}
    state, done = "there", 0
    for action in text.split():
        state, done = (follows[state, action], done + 1) if (state, action) in follows else (state, done)
    return f"{done}\n"


@reference("queue/serve", lambda r: (words(r, "ann bob cid next next vip", 8),))
def serve(events: list[str]) -> list[str]:
    queue, served = (), ()
    for event in events:
        if event == "next":
            queue, served = queue[1:], served + queue[:1]
        else:
            queue = queue[-1:] + queue[:-1] if event == "vip" else (*queue, event)
    return list(served)


@reference("water/fill_tank", lambda r: (r.randint(3, 8), some(r, 6, lambda: r.randint(-5, 6))))
def fill_tank(size: int, flows: list[int]) -> list[int]:
    wanted = []
    level = 0
    for flow in flows:
        wanted.append(level + flow)
        level = sorted((0, wanted[-1], size))[1]
    return [level, sum(max(w - size, 0) for w in wanted), sum(w < 0 for w in wanted)]


@reference("climb/climb", lambda r: (some(r, 6, lambda: r.randint(0, 9), 1), r.randint(0, 9)))
def climb(heights: list[int], energy: int) -> int:
    def cost(change: int) -> int:
        return change + 1 if change >= 1 else int(change <= -4)

    costs = [cost(b - a) for a, b in zip(heights, heights[1:], strict=False)]
    return max(n for n in range(len(costs) + 1) if sum(costs[:n]) <= energy)


@reference("signal/count_peaks", lambda r: (some(r, 8, lambda: r.randint(0, 4)),))
def count_peaks(values: list[int]) -> list[int]:
    triples = list(zip(values, values[1:], values[2:], strict=False))
    return [sum(max(a, c) < b for a, b, c in triples), sum(min(a, c) > b for a, b, c in triples)]


@reference(
    "signal/trend",
    lambda r: (
        r.choice([sorted, list, lambda v: sorted(v, reverse=True), lambda v: v[:1] * 3, lambda v: sorted(set(v))])(
            some(r, 4, lambda: r.randint(0, 3))
        ),
    ),
)
def trend(values: list[int]) -> str:
    if len(values) < 2:
        return "short"
    kinds = {(b > a) - (b < a) for a, b in zip(values, values[1:], strict=False)}
    return {1: "up", -1: "down", 0: "flat"}[kinds.pop()] if len(kinds) == 1 else "mixed"


@reference(
    "signal/print_longest_rise", lambda r: (" ".join(str(r.randint(-2, 6)) for _ in range(r.randint(0, 9))) + "\n",)
)
def print_longest_rise(text: str) -> str:
    numbers = list(map(int, text.split()))
    runs = [numbers[i:j] for i in range(len(numbers)) for j in range(i + 1, len(numbers) + 1)]
    good = [run for run in runs if 0 not in run and run == sorted(set(run))]
    return f"{max(map(len, good), default=0)}\n"


@reference("marble/bounce", lambda r: (lambda width: (r.randint(0, width), r.randint(0, 12), width))(r.randint(1, 5)))
def bounce(position: int, steps: int, width: int) -> int:
    place = (position + steps) % (2 * width)
    return place if place <= width else 2 * width - place


@reference(
    "marble/print_buckets",
    lambda r: (f"{r.randint(4, 10)}\n{' '.join(str(r.randint(1, 11)) for _ in range(r.randint(0, 7)))}\n",),
)
def print_buckets(text: str) -> str:
    capacity, *sizes = map(int, text.split())
    good = [size for size in sizes if size <= capacity]
    buckets: list[list[int]] = reduce(
        lambda filled, size: (
            [*filled[:-1], [*filled[-1], size]] if filled and sum(filled[-1]) + size <= capacity else [*filled, [size]]
        ),
        good,
        [],
    )
    return f"{len(buckets)} {len(sizes) - len(good)}\n"
