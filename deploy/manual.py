#!/usr/bin/env python3
"""Writes the manual pages, one for each subcommand, from what the parser knows.

Usage: manual.py PATH-OF-FTPSGATE FOLDER
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = "ftpsgate"

# What the parser does not know, for the first page.
MORE = r"""
.SH ENVIRONMENT
Each flag can be set by a variable:
.B FTPSGATE_IDLE_TIMEOUT=5m
is
.BR "\-\-idle\-timeout 5m" .
Several values of a repeatable flag are separated by blanks.
The command line wins over the environment, and the environment over the file of
.BR \-\-config .
.PP
.BR NOTIFY_SOCKET ,
.BR WATCHDOG_USEC ,
.B LISTEN_FDS
and what belongs to them are understood as
.BR sd_notify (3)
and
.BR sd_listen_fds (3)
describe.
.SH FILES
.TP
.I /etc/ftpsgate/ftpsgate.conf
The settings of the service that Debian's package brings: lines of a flag's name without its dashes, and its value.
.TP
.I /etc/default/ftpsgate
Variables for that service.
.TP
.I /var/lib/ftpsgate
The self-signed certificate, its key and its request, and what else must outlive a restart.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Drain: after
.B \-\-drain\-delay
new clients are refused, idle ones are told 421, and transfers finish, at most for
.BR \-\-drain\-timeout .
A second signal ends everything at once.
.TP
.B SIGHUP
Reload what can be reloaded. Running sessions are not touched.
.SH EXIT STATUS
.TP
.B 0
Ended in order.
.TP
.B 1
Failed while running, or transfers were cut when the time to drain was over.
.TP
.B 64
Wrong usage or configuration. Every mistake has been named on standard error.
"""

EXAMPLES = r"""
.SH EXAMPLES
Before the server at 192.168.1.20, on port 21, with a certificate that is made at the first start:
.PP
.RS
.nf
ftpsgate \-\-backend 192.168.1.20
.fi
.RE
.PP
With a certificate of your own, implicit FTPS as well, and one port for all data connections, behind NAT:
.PP
.RS
.nf
ftpsgate \-\-backend 192.168.1.20 \-\-cert tls.crt \-\-key tls.key \e
    \-\-listen 21 \-\-listen\-implicit 990 \-\-passive\-ports 50000 \-\-passive\-address 203.0.113.5
.fi
.RE
"""


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)


def page_name(names):
    return "-".join(names)


def flag(argument):
    names = [f"\\fB{'-' if name['kind'] == 'short' else '--'}{name['name']}\\fR" for name in argument["names"]]
    if argument.get("isSwitch"):
        names.append(f"\\fB--no-{argument['preferredName']['name']}\\fR")
    value = "" if argument["kind"] == "flag" else f" \\fI{argument.get('valueName', 'value')}\\fR"
    return (", ".join(names) + value).replace("-", "\\-")


def described(argument):
    text = argument.get("abstract", "")
    if argument.get("isRepeating") and "epeatable" not in text:
        text += " Repeatable."
    return escape(text.strip()) or "See above."


def discussion(text):
    """Indented lines stand as they are, the others flow."""
    lines = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if lines:
            lines.append(".PP")
        if block.startswith("  "):
            lines += [".RS", ".nf", escape(re.sub(r"^ {2}", "", block, flags=re.M)), ".fi", ".RE"]
        else:
            lines.append(escape(block))
    return "\n".join(lines)


def without_negations(arguments):
    """--x and --no-x as one."""
    names = {argument["preferredName"]["name"] for argument in arguments if argument["kind"] == "flag"}
    for argument in arguments:
        name = argument.get("preferredName", {}).get("name", "")
        if name.startswith("no-") and name[3:] in names:
            continue
        yield argument | {"isSwitch": argument["kind"] == "flag" and f"no-{name}" in names}


def sections(arguments):
    lines = []
    current = None
    for argument in arguments:
        if not argument.get("shouldDisplay", True) or argument["kind"] == "positional":
            continue
        section = argument.get("sectionTitle") or "Other options"
        if section != current:
            current = section
            lines.append(f".SS {escape(section)}")
        lines += [".TP", flag(argument), described(argument)]
    return lines


def synopsis(names, command):
    words = [f".B {escape(' '.join(names))}"]
    if any(argument["kind"] != "positional" for argument in command.get("arguments", [])):
        words.append(".RI [ options ]")
    for argument in command.get("arguments", []):
        if argument["kind"] == "positional":
            value = argument.get("valueName", "value")
            dots = " ..." if argument.get("isRepeating") else ""
            words.append(f".RI [ {escape(value)} ]{dots}" if argument.get("isOptional") else f".I {escape(value)}{dots}")
    if subcommands(command):
        words.append(".RI [ command ]")
    return words


def subcommands(command):
    return [one for one in command.get("subcommands", []) if one.get("shouldDisplay", True) and one["commandName"] != "help"]


def date():
    """The release's, where a package is built; else today."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%d", time.gmtime(int(epoch) if epoch else None))


def page(names, command, version, related):
    title = page_name(names)
    abstract = command.get("abstract", "").rstrip(".")
    lines = [
        '.\\" Made from the parser by deploy/manual.py.',
        f'.TH {escape(title.upper())} 1 {date()} "{PROGRAM} {version}" "{PROGRAM} manual"',
        ".SH NAME",
        f"{escape(title)} \\- {escape(abstract[:1].lower() + abstract[1:])}",
        ".SH SYNOPSIS",
        *synopsis(names, command),
        ".SH DESCRIPTION",
        discussion(command.get("discussion") or command.get("abstract", "")),
    ]
    children = subcommands(command)
    if children:
        lines.append(".SH COMMANDS")
        for child in children:
            is_default = " This is what is done when no command is named." if child["commandName"] == command.get(
                "defaultSubcommand"
            ) else ""
            lines += [
                ".TP",
                f".BR {escape(page_name([*names, child['commandName']]))} (1)",
                escape(child.get("abstract", "") + is_default),
            ]
    arguments = command.get("arguments", [])
    positional = [one for one in arguments if one["kind"] == "positional" and one.get("abstract")]
    if positional:
        lines.append(".SH ARGUMENTS")
        for argument in positional:
            lines += [".TP", f".I {escape(argument.get('valueName', 'value'))}", described(argument)]
    options = sections(without_negations(arguments))
    if options:
        lines += [".SH OPTIONS", *options]
    if len(names) == 1:
        lines += [MORE.strip("\n"), EXAMPLES.strip("\n")]
    others = [other for other in related if other != title]
    if others:
        lines.append(".SH SEE ALSO")
        lines += [f".BR {escape(other)} (1){',' if other != others[-1] else ''}" for other in others]
    return "\n".join(lines) + "\n"


def walk(names, command):
    yield names, command
    for child in subcommands(command):
        yield from walk([*names, child["commandName"]], child)


def main():
    binary, folder = sys.argv[1:]
    dump = subprocess.run([binary, "--experimental-dump-help"], capture_output=True, text=True, check=True)
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = told.split()[1]
    pages = list(walk([PROGRAM], json.loads(dump.stdout)["command"]))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for names, command in pages:
        title = page_name(names)
        related = [page_name(other) for other, _ in pages if other == names[: len(other)] or other[:-1] == names[:1]]
        (Path(folder) / f"{title}.1").write_text(page(names, command, version, sorted(set(related))), encoding="utf-8")


main()
