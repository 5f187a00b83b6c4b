# SPDX-License-Identifier: GPL-2.0-or-later
"""Between QEMU and a vhost-user back end: what the back end is told.

Everything is passed on as it comes, with the files that come with it. From
the IOTLB messages a model is kept of what the back end may reach, which is
all that stands between it and memory that the guest has unmapped.
"""

import collections
import os
import socket
import struct
import threading

# The header: request, flags, bytes that follow. All in the host's order.
HEADER = struct.Struct("=III")
FLAG_NEED_REPLY = 1 << 3
REPLY = 1 | 1 << 2                      # version, and that it is one
SET_FEATURES, IOTLB = 2, 22
# struct vhost_iotlb_msg: IOVA, size, user address, rights, type
MESSAGE = struct.Struct("=QQQBB6x")
UPDATE, INVALIDATE = 2, 3
READ, WRITE = 1, 2
FILES_MAX = 16


def _receive(sock, size):
    """Exactly ``size`` bytes and the files that came with them."""
    data, files = b"", []
    while len(data) < size:
        more, more_files, _, _ = socket.recv_fds(sock, size - len(data),
                                                 FILES_MAX)
        if not more:
            raise EOFError
        data += more
        files += more_files
    return data, files


def _shut(sock):
    """Wake who waits on a socket; it may be gone."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Proxy:
    """One back end's connection, and the model of its IOTLB.

    :param path: where QEMU is to connect
    :param target: the back end's socket, connected to when QEMU comes
    :param deaf: keep invalidations from the back end, and confirm them in its
                 place: what happens to a guest whose unmaps are not told
    :ivar changed: the lock of what follows
    :ivar features: what the driver took, when QEMU has told
    :ivar live: {IOVA: (size, host address, rights)} that was given and not
                taken away
    :ivar updates: how many blocks were given, by rights
    :ivar invalidated: how many messages took something away
    :ivar errors: rules that were broken, as text
    """

    def __init__(self, path, target, deaf=False):
        self.path, self._target, self._deaf = path, target, deaf
        self.changed = threading.Condition()
        self.features = 0
        self.live = {}
        self.updates = collections.Counter()
        self.invalidated = 0
        self.errors = []
        # Requests whose replies are outstanding, in order
        self._replies = collections.deque()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        try:
            front, _ = self._listener.accept()
        except OSError:
            return                      # closed before QEMU came
        back = socket.socket(socket.AF_UNIX)
        back.connect(self._target)
        self._sockets += [front, back]
        other = threading.Thread(target=self._pump, daemon=True,
                                 args=(back, front, self._from_back))
        self._threads.append(other)
        other.start()
        self._pump(front, back, self._from_front)

    def _pump(self, source, sink, see):
        try:
            while True:
                header, files = _receive(source, HEADER.size)
                request, flags, size = HEADER.unpack(header)
                body, more = _receive(source, size) if size else (b"", [])
                with self.changed:
                    keep = see(request, flags, body)
                if keep:
                    source.sendall(HEADER.pack(request, REPLY, 8) + bytes(8))
                else:
                    socket.send_fds(sink, [header + body], files + more)
                for file in files + more:
                    os.close(file)
        except (EOFError, OSError):
            for sock in (source, sink):
                _shut(sock)

    def _from_front(self, request, flags, body):
        """A message of QEMU; true: not for the back end."""
        keep = False
        if request == SET_FEATURES:
            self.features = struct.unpack("=Q", body)[0]
        elif request == IOTLB:
            iova, size, host, rights, kind = MESSAGE.unpack(body)
            if not flags & FLAG_NEED_REPLY:
                self.errors.append(f"message {kind} wants no confirmation")
            if kind == UPDATE:
                self._update(iova, (size, host, rights))
            elif kind == INVALIDATE:
                self.invalidated += 1
                keep = self._deaf
                if not keep:
                    self._invalidate(iova, size)
        if flags & FLAG_NEED_REPLY and not keep:
            self._replies.append(request)
        return keep

    def _update(self, iova, block):
        self.updates[block[2]] += 1
        if not self._deaf and self.live.get(iova, block) != block:
            self.errors.append(f"{iova:#x} leads elsewhere, untold")
        self.live[iova] = block

    def _invalidate(self, iova, size):
        for at in [at for at, block in self.live.items()
                   if at < iova + size and iova < at + block[0]]:
            del self.live[at]

    def _from_back(self, request, flags, body):
        del flags
        if self._replies and self._replies[0] == request:
            self._replies.popleft()
            if request == IOTLB and any(body):
                self.errors.append("the back end refused an IOTLB message")
        return False

    def reachable(self, rights):
        """How many blocks the back end may use with exactly these rights."""
        with self.changed:
            return sum(block[2] == rights for block in self.live.values())

    def close(self):
        for sock in self._sockets:
            _shut(sock)
            sock.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
