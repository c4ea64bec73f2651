import socket
from contextlib import closing

import pytest

from tests.helpers.ports import held_port


def test_a_held_port_is_refused_until_its_server_is_there_and_taken_by_nobody_else() -> None:
    with held_port() as port:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
            with closing(socket.create_server(("127.0.0.1", port))):
                socket.create_connection(("127.0.0.1", port)).close()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
