"""A scan in SARIF 2.1.0, the form in which code hosts and editors take the findings of a check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from exit_shim.scan.seen import Seen
from exit_shim.scan.sites import Scan, Site

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"

RULES: Final[Mapping[str, tuple[str, str]]] = {
    "order-site": ("note", "This place sends an order."),
    "only-by-install": ("warning", "`wrap(client)` does not see this order; use `exit_shim.install()`."),
    "only-by-raw": (
        "warning",
        "This order is seen only with install(raw=True), exit-shim run --raw or EXIT_SHIM_RAW=1.",
    ),
    "out-of-reach": ("warning", "exit_shim does not see this order: it goes out by no supported client."),
    "never-seen": ("warning", "This place sends orders, and the journal has none of it."),
}
"""Each rule with its level and text."""


def sarif(scan: Scan, seen: Mapping[Site, Seen] | None, version: str) -> dict[str, Any]:
    """Return a scan as a SARIF log.

    Args:
        scan: What was found.
        seen: How often each site was seen; None where no journal was compared.
        version: The version of exit_shim.
    """
    driver = {
        "name": "exit-shim scan",
        "version": version,
        "rules": [
            {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
            for name, (level, text) in RULES.items()
        ],
    }
    results = [_result(site, _rule_of(site, seen)) for site in scan.sites if site.is_leaf]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule_of(site: Site, seen: Mapping[Site, Seen] | None) -> str:
    if site.reach == "neither":
        return "out-of-reach"
    if seen is not None and site.is_recorded and site not in seen:
        return "never-seen"
    return {"install": "only-by-install", "raw": "only-by-raw"}.get(site.reach, "order-site")


def _result(site: Site, rule: str) -> dict[str, Any]:
    level, text = RULES[rule]
    kind = f" ({site.kind})" if site.kind else ""
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": f"{text} {site.action}{kind}: {site.door}, {site.library}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": site.file},
                    "region": {"startLine": site.line, "endLine": site.end_line},
                }
            }
        ],
    }
