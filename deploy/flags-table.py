#!/usr/bin/env python3
"""Writes the README's table of flags from what the parser knows. Usage: flags-table.py PATH-OF-FTPSGATE README.md"""

import json
import subprocess
import sys

BEGIN = "<!-- flags: made by `make docs` -->"
END = "<!-- /flags -->"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def name(argument: dict) -> str:
    long = argument["preferredName"]["name"]
    if argument["kind"] == "flag":
        return f"`--{long}`, `--no-{long}`"
    return f"`--{long} {argument['valueName'].upper()}`"


def table(arguments: list) -> str:
    lines = []
    section = None
    for argument in arguments:
        title = argument.get("sectionTitle")
        if not title or argument["preferredName"]["name"].startswith("no-"):
            continue
        if title != section:
            section = title
            lines += ["", f"**{title}**", "", "| flag | meaning |", "| --- | --- |"]
        repeatable = " Repeatable." if argument["isRepeating"] and "epeatable" not in argument["abstract"] else ""
        lines.append(f"| {name(argument)} | {cell(argument['abstract'])}{repeatable} |")
    return "\n".join(lines).strip()


def main() -> None:
    binary, readme = sys.argv[1:]
    dump = subprocess.run([binary, "serve", "--experimental-dump-help"], capture_output=True, text=True, check=True)
    text = open(readme, encoding="utf-8").read()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    made = table(json.loads(dump.stdout)["command"]["arguments"])
    with open(readme, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}\n\n{made}\n\n{END}{tail}")


main()
