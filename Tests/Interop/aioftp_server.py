"""aioftp's server, which is nothing like pyftpdlib's: aioftp_server.py HOST ROOT USER PASSWORD; prints `ready PORT`."""

import asyncio
import sys

import aioftp

host, root, user, password = sys.argv[1:]


async def main():
    account = aioftp.User(user, password, base_path=root, home_path="/", permissions=[aioftp.Permission("/")])
    server = aioftp.Server([account])
    await server.start(host, 0)
    print("ready", server.server_port, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
