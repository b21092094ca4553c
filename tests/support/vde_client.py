# SPDX-License-Identifier: MIT
"""A VDE client in Python: the handshake of every known client, byte by byte, and frames."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from waiting import readable, writable

MAGIC = 0xFEEDFACE
ADDRESS_SIZE = 110  # sizeof(struct sockaddr_un)
PATH_SIZE = 108
ANY_PORT, PORT_ZERO = 0, 1  # the request types: "plug me" and "plug me into port 0"

_counter = itertools.count()


class Refused(Exception):
    """The switch closed the control stream instead of answering."""


class NoAnswer(Exception):
    """The switch neither answered nor closed in time."""


def socket_address(path: bytes) -> bytes:
    """struct sockaddr_un with the path in it, zero padded."""
    if len(path) > PATH_SIZE:
        raise ValueError(f"a path of {len(path)} bytes does not fit")
    return struct.pack("=H", socket.AF_UNIX) + path.ljust(PATH_SIZE, b"\0")


def request_v3(
    path: bytes,
    port: int = 0,
    kind: int = ANY_PORT,
    description: bytes = b"",
    magic: int = MAGIC,
    version: int = 3,
) -> bytes:
    """The 122-byte request of today's clients, and the description behind it."""
    word = (kind | (port << 8)) & 0xFFFFFFFF
    return struct.pack("=III", magic, version, word) + socket_address(path) + description


def request_v1(path: bytes, kind: int = ANY_PORT, description: bytes = b"") -> bytes:
    """The 124-byte request of the uml_switch era: type in place of the version, and a MAC."""
    mac = bytes.fromhex("5254000000fe")
    return struct.pack("=II", MAGIC, kind) + mac + socket_address(path) + description


def address_for_abstract(name: bytes) -> bytes:
    """An abstract name as the switch sees it: always all 108 bytes of it."""
    return (b"\0" + name).ljust(PATH_SIZE, b"\0")


@contextlib.contextmanager
def as_user(uid: int, gid: int | None = None) -> Iterator[None]:
    """Files are created and sockets connected with this identity inside the block (needs root)."""
    old_groups = os.getgroups()
    os.setgroups([])
    os.setegid(gid if gid is not None else uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(old_groups)


def connect_stream(path: Path | str | bytes, timeout: float = 5.0) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout)
        stream.connect(os.fspath(path))
    except OSError:
        stream.close()
        raise
    return stream


def read_reply(stream: socket.socket, timeout: float = 5.0) -> bytes:
    """The 110 bytes of the answer. Refused: the stream ends first. NoAnswer: nothing comes."""
    deadline = time.monotonic() + timeout
    reply = b""
    while len(reply) < ADDRESS_SIZE:
        left = deadline - time.monotonic()
        if left <= 0 or not readable(stream, left):
            raise NoAnswer(f"{len(reply)} bytes in {timeout:g} s")
        try:
            part = stream.recv(4096)
        except ConnectionResetError:
            part = b""
        if not part:
            raise Refused(f"closed after {len(reply)} bytes")
        reply += part
    return reply


def outcome_of(ctl: Path, request: bytes, timeout: float = 5.0) -> str:
    """Sends raw bytes: "reply", "closed" or "silence". The stream is closed afterwards."""
    with contextlib.closing(connect_stream(ctl)) as stream:
        try:
            stream.sendall(request)
            read_reply(stream, timeout)
        except (Refused, BrokenPipeError, ConnectionResetError):
            return "closed"
        except NoAnswer:
            return "silence"
        return "reply"


class VdeClient:
    """A plugged client. Raises Refused or NoAnswer when it does not get its port.

    directory    the switch's directory
    port         wanted port, 0 = any;  kind = PORT_ZERO asks for port 0
    version      3 or 1
    abstract     use an abstract data address, as User-Mode Linux does
    path         the client's own socket (default: a new one in the switch's directory)
    ctl_name     another listening socket in that directory, for groups of ports
    keep_path    do not unlink the own socket after the handshake (as libvdeplug 2)
    connected    connect the data socket to the switch's (False: sendto, as UML and dynamips)
    """

    def __init__(
        self,
        directory: Path | str,
        port: int = 0,
        kind: int = ANY_PORT,
        description: bytes | str = b"",
        version: int = 3,
        abstract: bool = False,
        path: Path | str | None = None,
        ctl_name: str = "ctl",
        keep_path: bool = False,
        connected: bool = True,
        timeout: float = 5.0,
    ) -> None:
        number = next(_counter)
        self.directory = Path(directory)
        self.path = Path(path or self.directory / f".{os.getpid():05d}-{number:05d}")
        text = description.encode() if isinstance(description, str) else description
        address = (
            address_for_abstract(b"lyd-%d-%d" % (os.getpid(), number))
            if abstract
            else os.fsencode(self.path)
        )
        self.data = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ctl: socket.socket | None = None
        try:
            self.data.bind(address)
            self.ctl = connect_stream(self.directory / ctl_name, timeout)
            if version == 3:
                self.ctl.sendall(request_v3(address, port, kind, text))
            else:
                self.ctl.sendall(request_v1(address, kind, text))
            self.reply = read_reply(self.ctl, timeout)
            self.switch_path = self.reply[2:].split(b"\0", 1)[0].decode()
            if connected:
                self.data.connect(self.switch_path)
        except BaseException:
            self._close_sockets()
            raise
        finally:
            if not abstract and not keep_path:
                self.path.unlink(missing_ok=True)
        self.data.setblocking(False)
        self._connected = connected

    @property
    def port(self) -> int:
        """The port number, as the name of the switch's socket tells it (%03d.%d)."""
        return int(Path(self.switch_path).name.split(".")[0])

    def send(self, frame: bytes, timeout: float = 5.0) -> None:
        """Sends one frame; waits while the switch does not take it."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if self._connected:
                    self.data.send(frame)
                else:
                    self.data.sendto(frame, self.switch_path)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                writable(self.data, 0.01)

    def try_send(self, frame: bytes) -> bool:
        """Sends one frame if there is room for it now."""
        try:
            self.data.send(frame)
        except BlockingIOError:
            return False
        return True

    def recv(self, timeout: float = 2.0) -> bytes | None:
        """The next frame, or None when none comes in time."""
        if not readable(self.data, timeout):
            return None
        return self.data.recv(1 << 17)

    def drain(self, quiet: float = 0.0) -> list[bytes]:
        """Everything that is there, until nothing comes for `quiet` seconds."""
        frames = []
        while (frame := self.recv(quiet)) is not None:
            frames.append(frame)
        return frames

    def ctl_closed(self, timeout: float = 0.0) -> bool:
        """True when the switch has ended the control stream."""
        assert self.ctl
        if not readable(self.ctl, timeout):
            return False
        try:
            return self.ctl.recv(1) == b""
        except ConnectionResetError:
            return True

    def unplug(self) -> None:
        """Closes the control stream only."""
        if self.ctl:
            self.ctl.close()

    def _close_sockets(self) -> None:
        self.data.close()
        if self.ctl:
            self.ctl.close()

    def close(self) -> None:
        self._close_sockets()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> VdeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
