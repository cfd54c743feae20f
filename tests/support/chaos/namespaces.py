"""Network namespaces of threads: they have no names, so that nothing is left of them when their process is killed."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

IP = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
TUN = Path("/dev/net/tun")


class Namespace:
    """Network namespace of a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=enter_new)
        task = self.run(threading.get_native_id)
        self.path = Path(f"/proc/{os.getpid()}/task/{task}/ns/net")

    def run[**Parameters, Result](
        self,
        function: Callable[Parameters, Result],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Result:
        """Call a function there: a socket or process that it makes is of this namespace."""
        return self._thread.submit(function, *arguments, **named).result()

    def ip(self, *arguments: str) -> None:
        """Run a command of iproute2 there."""
        self.run(ip, *arguments)

    def set_sysctl(self, name: str, value: int) -> None:
        """Set a value below /proc/sys/net/ipv4."""
        self.run(Path("/proc/sys/net/ipv4", name).write_text, str(value))

    def close(self) -> None:
        """End the thread; the namespace ends with the last process in it."""
        self._thread.shutdown()


def ip(*arguments: str) -> None:
    """Run a command of iproute2, whose mistakes say what they are."""
    assert IP, "`find_missing` looks for it"
    done = subprocess.run((IP, *arguments), check=False, capture_output=True, text=True)
    assert not done.returncode, f"ip {' '.join(arguments)}: {done.stderr}"


def enter_new() -> None:
    """Move this thread, with all that it starts from now on, into a namespace of its own."""
    os.unshare(os.CLONE_NEWNET)
    ip("link", "set", "lo", "up")


def find_missing() -> str | None:
    """Return what is missing here for namespaces and TUN devices; None where nothing is."""
    if IP is None:
        return "ip is missing: install iproute2"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} cannot be opened: run this as root, where the kernel has TUN devices"
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(os.unshare, os.CLONE_NEWNET).result()
    except OSError as error:
        return f"network namespaces are not permitted ({error}): run this as root"
    return None
