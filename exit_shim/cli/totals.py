"""Recorded orders, counted by place, kind, mode and outcome."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from exit_shim.cli.output import pluralize, say
from exit_shim.cli.passthrough import suggest_passthrough
from exit_shim.cli.tables import show_table
from exit_shim.journal import Count, OrderSite, Stack


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
            "sites": [
                {
                    **site._asdict(),
                    "orders": number,
                    "conflicts": self.conflicts[site],
                    "outcomes": dict(self.outcomes[site]),
                }
                for site, number in sorted(self.sites.items())
            ],
        }

    def _count_exits_by(self, field: str) -> dict[str, int]:
        numbers: Counter[str] = Counter()
        for site, number in self.sites.items():
            if is_exit(site):
                numbers[getattr(site, field)] += number
        return dict(numbers.most_common())

    def show(self) -> None:
        """Print the table, the totals, lost events and suggestions."""
        show_table(
            ("module", "does", "kind", "number", "conflicts", "outcome", "where", "via", "evidence"),
            [self._row(site, number) for site, number in sorted(self.sites.items())],
        )
        say(", ".join(self._totals()))
        if self.lost:
            lost = pluralize(self.lost, "event")
            say(f"{lost} lost: the journal could not be written; see exit-shim doctor")
        for suggestion in self.suggestions:
            say(
                f"{suggestion.module} looks like a passthrough module: other modules always call it "
                f"({', '.join(suggestion.callers)}). To attribute its orders to them: "
                f"ExitShim(roles={suggestion.configuration})"
            )

    def _row(self, site: OrderSite, number: int) -> tuple[object, ...]:
        outcomes = self.outcomes[site].most_common()
        return (
            site.module,
            site.operation,
            site.kind,
            number,
            self.conflicts[site] or "",
            " ".join(f"{name}={count}" for name, count in outcomes),
            f"{site.function} {site.place}",
            site.via,
            site.evidence,
        )

    def _totals(self) -> list[str]:
        modules = len({site.module for site in self.sites if is_exit(site)})
        conditional = self.count_conditional()
        return [
            f"{pluralize(self.count_exits(), 'exit order')} by {pluralize(modules, 'module')}",
            *[pluralize(conditional, "conditional order")] * bool(conditional),
            pluralize(self.count_operations("cancel"), "cancel"),
            pluralize(self.count_operations("modify"), "change"),
            pluralize(sum(self.conflicts.values()), "ownership conflict"),
            *[f"{number} in {mode}" for mode, number in self.modes.most_common() if number],
        ]


def is_exit(site: OrderSite) -> bool:
    """Return whether a place's orders count as exits: a conditional order may be an entry."""
    return site.operation == "place" and site.kind != "conditional"
