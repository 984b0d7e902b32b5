"""Starts a program for each connection, with the connection as its standard input and output: inetd.py HOST PORT PROGRAM…"""

import socket
import subprocess
import sys

host, port, *program = sys.argv[1:]
listener = socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
children = []
while True:
    connection, _ = listener.accept()
    children = [child for child in children if child.poll() is None]
    children.append(subprocess.Popen(program, stdin=connection, stdout=connection))
    connection.close()
