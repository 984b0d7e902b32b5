"""The deployment's files and pages agree with the program: what they name is there."""

import json
import re
import subprocess

import pytest
from gateway import binary
from processes import PROJECT

DEPLOY = PROJECT / "deploy"
FILES = ["Dockerfile", "compose.yaml", "compose.own-server.yaml", "systemd/ftpsgate.service", "debian/ftpsgate.default"]
PAGES = [DEPLOY / "OPERATIONS.md", DEPLOY / "CERTIFICATES.md", PROJECT / "README.md"]


def arguments(command):
    yield from command.get("arguments", [])
    for child in command.get("subcommands", []):
        yield from arguments(child)


@pytest.fixture(scope="module")
def flags():
    dump = subprocess.run([binary(), "--experimental-dump-help"], capture_output=True, text=True, check=True).stdout
    command = json.loads(dump)["command"]
    return {name["name"] for argument in arguments(command) for name in argument.get("names", [])}


@pytest.mark.parametrize("name", FILES + ["OPERATIONS.md", "debian/build.sh"])
def test_variables_are_flags(flags, name):
    # What the build scripts themselves understand.
    own = {"FTPSGATE_BINARY", "FTPSGATE_DEB_VERSION"}
    variables = set(re.findall(r"\bFTPSGATE_[A-Z_]+\b", (DEPLOY / name).read_text())) - own
    unknown = {variable for variable in variables if variable[9:].lower().replace("_", "-") not in flags}
    assert not unknown


def test_settings_of_the_packages_file_are_flags(flags):
    lines = (DEPLOY / "debian/ftpsgate.conf").read_text().splitlines()
    settings = [line.lstrip("#").split(" ")[0] for line in lines if re.match(r"#?[a-z][a-z-]* \S+$", line)]
    assert {"backend", "listen", "passive-ports", "passive-address", "cert", "key"} <= set(settings) <= flags


# Other programs' flags, and those that are promised for later, do not belong into what an operator copies.
OTHERS = {
    *("build", "add-host", "cap-add", "cap-drop", "cpus", "detach", "ftp-ssl", "name", "network", "no-install-recommends"),
    *("now", "read-only", "restart", "security-opt", "ssl-reqd", "stop-timeout", "sysctl", "ulimit", "cacert", "filter"),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_on_a_page_are_flags(flags, page):
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9-]+)", page.read_text()))
    assert not named - flags - OTHERS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith(("http:", "https:")):
            path = (page.parent / target.split("#")[0]).resolve()
            assert path.exists(), target


def test_reasons_on_the_page_are_reasons_of_the_log():
    sources = "\n".join(path.read_text() for path in (PROJECT / "Sources").rglob("*.swift"))
    known = set(re.findall(r'"([a-z]+(?:[_.][a-z_0-9]+)+)"', sources)) | {"shutdown"}
    text = (DEPLOY / "OPERATIONS.md").read_text()
    trouble = text[text.index("# Troubleshooting") :]
    named = {word for word in re.findall(r"`([a-z]+(?:[_.][a-z_]+)+)`", trouble)} - {"deploy/.env"}
    assert len(named) > 20
    assert not named - known
