"""How much of a thing a test does.

FTPSGATE_TEST_FULL=1 runs crowds and long series at the size that the project promises; without it they are smaller, so that
`make test` stays within minutes.
"""

import os


def full(count, otherwise):
    """`count` at full size, else `otherwise`."""
    return count if os.environ.get("FTPSGATE_TEST_FULL") else otherwise


FULL_TIMEOUT = 600
