"""Abstract sockets: the host's, and one of the box's own."""
import socket

from probe import *


def connect(name):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(name)


attempt("abstract socket", lambda: connect("\0" + HOST["abstract"]))
own = socket.socket(socket.AF_UNIX)
own.bind("\0own-" + HOST["abstract"])
own.listen()
attempt("own abstract socket", lambda: connect("\0own-" + HOST["abstract"]))
done()
