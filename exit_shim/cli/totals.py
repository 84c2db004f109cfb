"""Recorded orders, counted by place, kind, mode and outcome."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from exit_shim.cli.output import pluralize
from exit_shim.cli.passthrough import suggest_passthrough
from exit_shim.journal import IN_DOUBT, Count, OrderSite, Stack


class ModuleTotals(NamedTuple):
    """What one module did, and what its orders came to unless they were accepted."""

    module: str
    places: int
    cancels: int
    changes: int
    conflicts: int
    others: Counter[str]


class OrderTotals:
    """The counts that `summary` and `run` print.

    Args:
        counts: Orders by place, mode and state.
        stacks: The call chains that they came by.
        lost: Events that the journal recorded as lost.
    """

    def __init__(self, counts: Iterable[Count], stacks: Iterable[Stack], lost: int = 0) -> None:
        self.sites: Counter[OrderSite] = Counter()
        self.conflicts: Counter[OrderSite] = Counter()
        self.outcomes: dict[OrderSite, Counter[str]] = {}
        self.modes: Counter[str] = Counter()
        for count in counts:
            site = count.site
            self.sites[site] += count.orders
            self.modes[count.mode] += count.orders * is_exit(site)
            self.conflicts[site] += count.conflicts
            self.outcomes.setdefault(site, Counter())[count.state] += count.orders
        self.suggestions = suggest_passthrough(stacks)
        self.lost = lost

    def count_exits(self) -> int:
        """Return how many exit orders were requested."""
        return sum(number for site, number in self.sites.items() if is_exit(site))

    def count_operations(self, operation: str) -> int:
        """Return how many cancels, changes, tests or orders of any kind were requested."""
        return sum(number for site, number in self.sites.items() if site.operation == operation)

    def count_conditional(self) -> int:
        """Return how many orders wait for a trigger without being marked reduce-only: possible entries."""
        return self.count_operations("place") - self.count_exits()

    def in_doubt(self) -> dict[str, int]:
        """Return how many orders are in doubt, by module."""
        numbers: Counter[str] = Counter()
        for site, outcomes in self.outcomes.items():
            numbers[site.module] += outcomes[IN_DOUBT]
        return {module: number for module, number in numbers.most_common() if number}

    def by_module(self) -> Iterator[ModuleTotals]:
        """Yield what each module did, by their names."""
        for module in sorted({site.module for site in self.sites}):
            sites = [site for site in self.sites if site.module == module]
            numbers: Counter[str] = Counter()
            others: Counter[str] = Counter()
            for site in sites:
                numbers[site.operation] += self.sites[site]
                others.update({state: n for state, n in self.outcomes[site].items() if state != "accepted"})
            conflicts = sum(self.conflicts[site] for site in sites)
            yield ModuleTotals(
                module, numbers["place"], numbers["cancel"], numbers["modify"], conflicts, others
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, JSON-ready."""
        exits = (outcomes for site, outcomes in self.outcomes.items() if is_exit(site))
        return {
            "total_orders": self.count_exits(),
            "conditional_orders": self.count_conditional(),
            "cancels": self.count_operations("cancel"),
            "modifications": self.count_operations("modify"),
            "test_orders": self.count_operations("test"),
            "ownership_conflicts": sum(self.conflicts.values()),
            "orders_by_module": self._count_exits_by("module"),
            "orders_by_kind": self._count_exits_by("kind"),
            "orders_by_outcome": dict(sum(exits, Counter())),
            "orders_by_mode": dict(self.modes),
            "events_lost": self.lost,
            "suggested_passthrough": [
                {**suggestion._asdict(), "configuration": suggestion.configuration}
                for suggestion in self.suggestions
            ],
            "sites": list(self.site_fields()),
        }

    def site_fields(self) -> Iterator[dict[str, Any]]:
        """Yield each place with its numbers, JSON-ready."""
        for site, number in sorted(self.sites.items()):
            yield {
                **site._asdict(),
                "orders": number,
                "conflicts": self.conflicts[site],
                "outcomes": dict(self.outcomes[site]),
            }

    def _count_exits_by(self, field: str) -> dict[str, int]:
        numbers: Counter[str] = Counter()
        for site, number in self.sites.items():
            if is_exit(site):
                numbers[getattr(site, field)] += number
        return dict(numbers.most_common())

    def in_words(self) -> str:
        """Return the totals in one line."""
        modules = len({site.module for site in self.sites if is_exit(site)})
        conditional = self.count_conditional()
        return ", ".join(
            [
                f"{pluralize(self.count_exits(), 'exit order')} by {pluralize(modules, 'module')}",
                *[pluralize(conditional, "conditional order")] * bool(conditional),
                pluralize(self.count_operations("cancel"), "cancel"),
                pluralize(self.count_operations("modify"), "change"),
                pluralize(sum(self.conflicts.values()), "ownership conflict"),
                *[f"{number} in {mode}" for mode, number in self.modes.most_common() if number],
            ]
        )


def is_exit(site: OrderSite) -> bool:
    """Return whether a place's orders count as exits: a conditional order may be an entry."""
    return site.operation == "place" and site.kind != "conditional"


def states_text(states: Counter[str]) -> str:
    """Return what orders came to, the most frequent first."""
    return ", ".join(f"{number} {state}" for state, number in states.most_common())
