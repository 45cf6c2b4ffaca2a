"""The kernels that run notebooks, for papermill and nbval alike: what they are, and their ports.

Left alone, a kernel is what is installed under the name that a notebook gives, with the settings of
whoever calls: another Python, or figures that the notebook does not keep. And it gets ports of the
network that were free a moment ago: when several start at a time, two may get the same one, and the
second is waited for in vain.
"""

import tempfile
import uuid
from importlib.util import find_spec
from pathlib import Path

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager


class OwnKernel(KernelSpecManager):
    """The one kernel, whatever it is called: this interpreter, figures as PNG in the notebook."""

    def __init__(self, settings: Path):
        super().__init__()
        environment = {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MATPLOTLIBRC": str(Path(find_spec("matplotlib").origin).parent / "mpl-data"),
            "IPYTHONDIR": str(settings),
        }
        kernel = get_kernel_dict(extra_arguments=["--InlineBackend.figure_formats=png"])
        self.spec = KernelSpec(resource_dir=RESOURCES, env=environment, **kernel)

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return self.spec


def prepare_kernels() -> None:
    """Start the kernels of this process so, and speak to them through files, from now on."""
    folder = tempfile.TemporaryDirectory(prefix="kernels-")  # removed when this process ends
    own = OwnKernel(Path(folder.name, "settings"))
    plain = KernelManager.__init__

    def prepared(self, *args, **options):
        name = str(Path(folder.name, uuid.uuid4().hex[:8]))
        ours = {"kernel_spec_manager": own}
        plain(self, *args, **({"transport": "ipc", "ip": name} | options | ours))

    KernelManager.__init__ = prepared
