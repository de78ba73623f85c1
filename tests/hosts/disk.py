"""One host's disk: a layer of its own over the shared image.

The layer is a file system in memory that belongs to the host's life, not to its boot: a reboot and a power
cut keep it. It has a size, so it can really be full. It cannot lose what was written but not synced; that
needs a real disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .process import command, wait_until

DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Disk:
    """`folder/root` is the host's root file system; `folder/layer` holds what differs from the image."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def layer(self) -> Path:
        return self.folder / "layer"

    def attach(self, image: Path) -> None:
        self.root.mkdir(parents=True)
        self.layer.mkdir()
        command(
            [
                "mount",
                "-t",
                "tmpfs",
                "-o",
                f"size={DISK_BYTES},mode=0755",
                "reconcile-test-host",
                str(self.layer),
            ]
        )
        (self.layer / "upper").mkdir()
        (self.layer / "work").mkdir()
        layers = f"lowerdir={image},upperdir={self.layer / 'upper'},workdir={self.layer / 'work'}"
        command(["mount", "-t", "overlay", "-o", layers, "reconcile-test-host", str(self.root)])

    def fill(self, free_bytes: int = 0) -> None:
        """Fill the disk up to this much free space: a write beyond it gets a real `No space left on device`."""
        disk = os.statvfs(self.layer)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        self._resize(used + free_bytes)

    def free(self) -> None:
        self._resize(DISK_BYTES)

    def _resize(self, size: int) -> None:
        command(["mount", "-o", f"remount,size={size}", str(self.layer)])

    def detach(self) -> None:
        """Throw the disk away; one that is not there is no error."""
        for folder in (self.root, self.layer):
            # The last process of a killed host may hold its files for a moment longer.
            wait_until(partial(_unmounted, folder), 40, f"unmount {folder}: still in use")
            if folder.is_dir():
                folder.rmdir()


def _unmounted(folder: Path) -> bool:
    if os.path.ismount(folder):
        command(["umount", str(folder)], check=False)
    return not os.path.ismount(folder)
