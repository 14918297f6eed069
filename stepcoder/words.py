"""Numbers and times in words, for a person."""


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 problem`, `1,200 problems`; `nouns` where the plural is not the noun with an s, such as `problems are`."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `1 h 05 min`, `3 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes < 48 * 60 else f"{minutes / (24 * 60):.0f} days"


def rate(count: float, seconds: float) -> str:
    """A number a second: `1,200`, `12`, `0.42`; never 0 where there is one."""
    value = count / max(seconds, 1e-6)
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
