"""Medians as a table: one row for each scenario, one column for each peer, and what the gateway is to the best of them."""

import peers
from scenarios import FLOOR

GATEWAY = peers.Gateway.name
# Scenarios in which more is better.
RATES = ("/cpu s", "share", "sessions in")
ORDER = [GATEWAY] + [peer.name for peer in peers.RAW + peers.FTPS] + [FLOOR]


def is_rate(scenario):
    return any(part in scenario for part in RATES)


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(results, skipped):
    names = [name for name in ORDER if any(name in values for values in results.values())]
    rows = [["median of the rounds", *names, "gateway to the best other"]]
    for scenario, values in results.items():
        rows.append([scenario, *(number(values[name]) if name in values else "" for name in names), ratio(scenario, values)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for name, reason in skipped.items():
        lines.append(f"\nSkipped: {name}: {reason.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def ratio(scenario, values):
    others = {name: value for name, value in values.items() if name not in (GATEWAY, FLOOR) and value > 0}
    if GATEWAY not in values or not others:
        return ""
    best = (max if is_rate(scenario) else min)(others, key=others.get)
    return f"{values[GATEWAY] / others[best]:.2f} x {best}"
