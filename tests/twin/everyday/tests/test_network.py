"""Loopback, names, sockets in files, certificates."""

import asyncio
import http.server
import os
import pathlib
import socket
import ssl
import tempfile
import threading
import urllib.request

import pytest


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_loopback(address):
    with socket.create_server((address, 0)) as server:
        with socket.create_connection(("127.0.0.1", server.getsockname()[1]), timeout=10) as client:
            peer, _ = server.accept()
            peer.sendall(b"x")
            assert client.recv(1) == b"x"
            peer.close()


def test_loopback_by_version_6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        socket.create_connection(server.getsockname()[:2], timeout=10).close()


def test_localhost_has_both_addresses():
    found = {entry[4][0] for entry in socket.getaddrinfo("localhost", 80)}
    assert "127.0.0.1" in found


def test_the_own_name_leads_home():
    assert socket.gethostbyname(socket.gethostname())
    assert socket.getfqdn()


def test_services_and_protocols_have_names():
    assert socket.getservbyname("http") == 80
    assert socket.getservbyname("https", "tcp") == 443
    assert socket.getprotobyname("tcp") == 6


def test_a_web_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://localhost:{server.server_port}/pyproject.toml"
        assert b"everyday" in urllib.request.urlopen(url, timeout=10).read()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_datagrams_and_broadcast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.bind(("127.0.0.1", 0))
        one.sendto(b"x", one.getsockname())
        assert one.recv(1) == b"x"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_sockets_in_files(kind):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(os.path.join(folder, "socket"))
        with socket.socket(socket.AF_UNIX, kind) as client:
            if kind != socket.SOCK_DGRAM:
                server.listen()
            client.connect(server.getsockname())


def test_abstract_sockets():
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("\0everyday-%d" % os.getpid())
        server.listen()
        client.connect(server.getsockname())


def test_descriptors_travel():
    one, two = socket.socketpair()
    with one, two, tempfile.TemporaryFile() as file:
        socket.send_fds(one, [b"x"], [file.fileno()])
        data, fds, _, _ = socket.recv_fds(two, 1, 1)
        assert data == b"x"
        os.close(fds[0])


def test_a_path_to_a_socket_is_short_enough(tmp_path):
    # sun_path holds 108 bytes.
    assert len(tempfile.gettempdir()) < 60


def test_ephemeral_ports_and_reuse():
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("", 0))
        assert one.getsockname()[1] > 1023


def test_interfaces_can_be_listed():
    assert "lo" in [name for _, name in socket.if_nameindex()]


def test_a_refused_connection_is_refused():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_certificates_of_the_system():
    paths = ssl.get_default_verify_paths()
    found = [path for path in (paths.cafile, paths.capath) if path and os.path.exists(path)]
    if not pathlib.Path("/etc/ssl/certs").is_dir():
        pytest.skip("this system has none")
    assert found


def test_event_loops():
    async def talk():
        async def serve(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x\n")
        line = await reader.readline()
        writer.close()
        server.close()
        return line

    assert asyncio.run(talk()) == b"x\n"


def test_a_child_of_an_event_loop():
    async def child():
        process = await asyncio.create_subprocess_exec("echo", "x", stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        return output, process.returncode

    assert asyncio.run(child()) == (b"x\n", 0)
