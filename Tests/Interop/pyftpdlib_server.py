"""A plain FTP server of pyftpdlib in a process of its own: pyftpdlib_server.py HOST FOLDER USER PASSWORD [--encoding E].

Besides USER there are user-0 to user-199, with the same password and folder. Prints `ready PORT` and serves until it is ended.
"""

import argparse
import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

parser = argparse.ArgumentParser()
parser.add_argument("host")
parser.add_argument("folder")
parser.add_argument("user")
parser.add_argument("password")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--encoding", default="utf8")
options = parser.parse_args()

logging.basicConfig(stream=sys.stderr, level=logging.INFO)
authorizer = DummyAuthorizer()
for name in [options.user, *(f"user-{number}" for number in range(200))]:
    authorizer.add_user(name, options.password, options.folder, perm="elradfmwMT")


class Handler(FTPHandler):
    pass


Handler.authorizer = authorizer
Handler.auth_failed_timeout = 0
Handler.encoding = options.encoding
# Names that are not UTF-8 stay as they are.
Handler.unicode_errors = "surrogateescape"
server = FTPServer((options.host, options.port), Handler)
server.max_cons_per_ip = 0
print("ready", server.socket.getsockname()[1], flush=True)
server.serve_forever(timeout=60, handle_exit=True)
