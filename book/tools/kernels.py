"""How the kernels that run notebooks are spoken to: through files, for papermill and nbval alike.

Left alone, a kernel gets ports of the network that were free a moment ago. When several start at a
time, two may get the same one, and the second is waited for in vain.
"""

import tempfile
import uuid
from pathlib import Path

from jupyter_client.manager import KernelManager


def speak_through_files() -> None:
    """Start the kernels of this process in that way, from now on."""
    folder = tempfile.TemporaryDirectory(prefix="kernels-")  # removed when this process ends
    plain = KernelManager.__init__

    def through_files(self, *args, **options):
        name = str(Path(folder.name, uuid.uuid4().hex[:8]))
        plain(self, *args, **({"transport": "ipc", "ip": name} | options))

    KernelManager.__init__ = through_files
