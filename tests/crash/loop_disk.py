"""A disk whose power can be cut: ext4 on a loop device, in an image that is a file. Needs root.

    disk = LoopDisk(directory, 256 << 20)
    disk.mount()         # again after a cut; what was not synced is gone then
    disk.cut()           # the file system is shut down without flushing its log
    disk.unmount()

own_mounts() comes first: a namespace that any other program makes holds a copy of what is mounted
here at that moment, and as long as it lives, unmount() leaves the file system as it is: shut down.

The cut is EXT4_IOC_SHUTDOWN. A sync that races with it may still answer well although nothing was
written: whoever stops the program first (SIGSTOP), or counts only what was acknowledged before the
cut, sees what a power cut is.
"""

import errno
import fcntl
import os
import struct
import subprocess
import sys

EXT4_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
NOLOGFLUSH = 2
FIFREEZE = (3 << 30) | (4 << 16) | (ord("X") << 8) | 119
FITHAW = (3 << 30) | (4 << 16) | (ord("X") << 8) | 120
FILL, BLOCK_BYTES = "fill", 4096
OWN_MOUNTS = "WALRUS_OWN_MOUNTS"


class Unavailable(Exception):
    """Why this machine has no such disk."""


def own_mounts():
    """Starts the program anew, as root, where nobody else sees or copies what it mounts. Returns at
    once in what it has started; so does it without root, for whom no disk is made."""
    if not os.environ.pop(OWN_MOUNTS, None) and os.geteuid() == 0:
        os.environ[OWN_MOUNTS] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])


class LoopDisk:
    """Below a directory: the image, and `mount_point`. Of one thread."""

    def __init__(self, directory, size_bytes):
        self.image = os.path.join(directory, "image")
        self.mount_point = os.path.join(directory, "mount")
        os.mkdir(self.mount_point)
        with open(self.image, "wb") as file:
            file.truncate(size_bytes)
        subprocess.check_call(["mkfs.ext4", "-q", "-F", "-m", "0", self.image])
        self.mounted = False

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop", self.image, self.mount_point],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable("no loop device: " + done.stderr.strip())
        self.mounted = True

    def unmount(self):
        if self.mounted:
            subprocess.check_call(["umount", self.mount_point])
            self.mounted = False

    def cut(self):
        self._control(EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))

    def freeze(self):
        """Whoever writes waits, until thaw(); not even a signal ends him."""
        self._control(FIFREEZE, 0)

    def thaw(self):
        self._control(FITHAW, 0)

    def fill(self, left_bytes):
        """As if something else took all but so much."""
        there = os.statvfs(self.mount_point)
        wanted = piece = there.f_bavail * there.f_frsize - left_bytes
        taken = 0
        with open(os.path.join(self.mount_point, FILL), "wb") as file:
            # The file system takes some for itself, and others may take some meanwhile.
            while taken < wanted and piece >= BLOCK_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), taken, min(piece, wanted - taken))
                    taken += min(piece, wanted - taken)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2

    def free(self):
        """For good: a power cut does not bring back what took it."""
        path = os.path.join(self.mount_point, FILL)
        if not os.path.exists(path):
            return
        os.remove(path)
        directory = os.open(self.mount_point, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def _control(self, request, argument):
        directory = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, request, argument)
        finally:
            os.close(directory)
