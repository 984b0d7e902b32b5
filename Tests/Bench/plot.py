"""The results as bars in SVG: one panel for each of the figures that say most."""

from html import escape
from math import log

import report

PANELS = [
    ("cpu s/GiB, down, 8 conn, AES-128-GCM", "Download: CPU seconds for a GiB", "less is better"),
    ("cpu s/GiB, up, 8 conn, AES-128-GCM", "Upload: CPU seconds for a GiB", "less is better"),
    ("4 KiB files/cpu s, TLS 1.3, resumed", "Files of 4 KiB in a second of CPU", "more is better"),
    ("logins/cpu s", "Logins in a second of CPU", "more is better"),
    ("idle session KiB", "Memory of an idle session, KiB", "less is better, logarithmic"),
    ("system calls/GiB, down", "System calls for a GiB, download", "less is better, logarithmic"),
]
BAR, GAP, LABEL, WIDTH = 16, 6, 96, 250
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600; font-size: 12px }
.note { fill: #777 }
.bar { fill: #b8c0cc }
.own { fill: #2563eb }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .note { fill: #999 } .bar { fill: #5b6472 } .own { fill: #60a5fa } }
"""


def draw(results):
    panels = [(title, note, results[key]) for key, title, note in PANELS if key in results]
    parts, top, column_width = [], 10, LABEL + WIDTH + 70
    for index in range(0, len(panels), 2):
        row = panels[index : index + 2]
        for column, (title, note, values) in enumerate(row):
            parts.append(panel(10 + column * column_width, top, title, note, values))
        top += max(height(values) for _, _, values in row) + 20
    size = f'width="{2 * column_width + 10}" height="{top}" viewBox="0 0 {2 * column_width + 10} {top}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"


def height(values):
    return 24 + len(values) * (BAR + GAP)


def panel(left, top, title, note, values):
    """Bars in the order of the table; logarithmic where the differences are."""
    names = [name for name in report.ORDER if name in values]
    longest = max(values.values())
    logarithmic = "logarithmic" in note
    lines = [f'<text x="{left}" y="{top + 10}" class="title">{escape(title)} <tspan class="note">({escape(note)})</tspan></text>']
    for index, name in enumerate(names):
        y = top + 20 + index * (BAR + GAP)
        share = scaled(values[name], min(values.values()), longest) if logarithmic else values[name] / longest
        length, kind = max(2, WIDTH * share), "own" if name == report.GATEWAY else "bar"
        lines.append(f'<text x="{left + LABEL - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="{left + LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" class="{kind}"/>')
        lines.append(f'<text x="{left + LABEL + length + 5:.1f}" y="{y + 12}">{report.number(values[name])}</text>')
    return "\n".join(lines)


def scaled(value, least, most):
    return 1.0 if most <= least else 0.08 + 0.92 * log(max(value, least) / least) / log(most / least)
