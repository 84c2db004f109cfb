"""Keep the number of series bounded and their labels printable, whatever a record holds."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from exit_shim.sinks.prometheus.declared import Metric

Labels: TypeAlias = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""

MOST_MODULES: Final = 200
"""The modules that have a label of their own, those with the most orders."""

MOST_SERIES: Final = 2_000
"""The most series of one counter that are named in full."""

LONGEST: Final = 120
"""The most characters of a label."""

OTHER: Final = "other"
"""The label of what has none of its own."""

K = TypeVar("K", str, Labels)
H = TypeVar("H", bound=Hashable)


class Chosen(Generic[K]):
    """The keys that have a series of their own.

    None is taken back, since the counter of what has no series of its own must not go down.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: set[K] = set()

    def __contains__(self, key: K) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[K]:
        return iter(sorted(self._keys))

    def choose(self, numbers: Mapping[K, float]) -> None:
        """Add the keys with the greatest numbers, as long as there is room."""
        room = self._most - len(self._keys)
        new = [key for key in numbers if key not in self._keys] if room else []
        self._keys.update(sorted(new, key=lambda key: (-numbers[key], key))[:room])


class Rising(Generic[K]):
    """Numbers that never go down, though those of the record do when it is pruned."""

    def __init__(self) -> None:
        self._last: dict[K, float] = {}
        self._pruned: Counter[K] = Counter()

    def add_pruned(self, numbers: Mapping[K, float]) -> dict[K, float]:
        """Return the numbers with what was taken away since the first call added again."""
        for key, before in self._last.items():
            self._pruned[key] += max(before - numbers.get(key, 0), 0)  # type: ignore[assignment]
        self._last = dict(numbers)
        return {key: numbers.get(key, 0) + self._pruned[key] for key in {**self._pruned, **numbers}}


class LabelLimits:
    """Say which modules and series are named; one for the life of an exporter."""

    def __init__(self) -> None:
        self._rising: defaultdict[str, Rising[Labels]] = defaultdict(Rising)
        self._modules: Chosen[str] = Chosen(MOST_MODULES)
        self._series: defaultdict[str, Chosen[Labels]] = defaultdict(lambda: Chosen(MOST_SERIES))

    @property
    def modules(self) -> Iterator[str]:
        """The modules that have a label of their own."""
        return iter(self._modules)

    def learn_modules(self, numbers: Mapping[str, float]) -> None:
        """Give the modules with the most orders a label of their own."""
        self._modules.choose({name: number for name, number in numbers.items() if name})

    def label_module(self, name: str | None) -> str:
        """Return a module's label."""
        text = label_text(name)
        return text if not text or text in self._modules else OTHER

    def add_up(self, metric: Metric, pairs: Iterable[tuple[Labels, float]]) -> dict[Labels, float]:
        """Return the numbers of a counter's series, with those added up that are not named."""
        numbers, chosen = sum_by(pairs), self._series[metric.name]
        chosen.choose(numbers)
        named = sum_by(
            (labels if labels in chosen else nameless(metric, labels), number)
            for labels, number in numbers.items()
        )
        return self.keep_rising(metric.name, named)

    def keep_rising(self, name: str, numbers: Mapping[Labels, float]) -> dict[Labels, float]:
        """Return numbers of this name, none of which is lower than at the last reading."""
        return self._rising[name].add_pruned(numbers)


def sum_by(pairs: Iterable[tuple[H, float]]) -> Counter[H]:
    """Add up the numbers of equal keys."""
    sums: Counter[H] = Counter()
    for key, number in pairs:
        sums[key] += number  # type: ignore[assignment] # a Counter holds any number
    return sums


def nameless(metric: Metric, labels: Labels) -> Labels:
    """Return labels of which only those are left that have few values."""
    pairs = zip(metric.labels, labels, strict=True)
    return tuple(value if name in metric.fixed else OTHER for name, value in pairs)


def label_text(value: object) -> str:
    r"""Return a label's value: cut, and without what a terminal would obey.

    Quotes, backslashes and line breaks are left to the client library, which escapes them.
    """
    text = "" if value is None else str(value)
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
