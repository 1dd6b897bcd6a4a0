"""Worker processes end with their parent, and others take the place of those that are killed."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.processes import Killed, run_in_processes

PARENT = """
import time
from tokcom_phy.utils.processes import worker_pool

if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(__import__("os").getpid).result(), flush=True)
        pool.submit(time.sleep, 60)
        time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_ignores_interrupts_and_ends_with_its_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, signal.SIGINT)
    time.sleep(0.2)
    assert alive(worker)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def square_or_die(folder: Path, item: int) -> int:
    """Item 3 kills its process the first time, item 5 each time."""
    first = folder / f"{item}"
    if item == 5 or (item == 3 and not first.exists()):
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_another_process_takes_the_place_of_one_that_is_killed(tmp_path: Path) -> None:
    items = {str(item): item for item in range(12)}
    found = dict(run_in_processes(partial(square_or_die, tmp_path), items, 2))
    assert found == {key: Killed() if item == 5 else item * item for key, item in items.items()}


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("initializer", [None, die])
def test_processes_that_are_killed_whatever_they_do_end_the_work(initializer) -> None:
    with pytest.raises(UserError, match="killed one after another"):
        dict(run_in_processes(die, dict.fromkeys(range(20)), 2, initializer))


def test_an_error_in_a_process_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        dict(run_in_processes(partial(divmod, 1), {"a": 1, "b": 0}, 2))


def sleep_for(folder: Path, seconds: float) -> None:
    (folder / f"{os.getpid()}").touch()
    time.sleep(seconds)


def test_who_stops_asking_does_not_wait_for_what_is_in_hand(tmp_path: Path) -> None:
    results = run_in_processes(partial(sleep_for, tmp_path), {"a": 0.0, "b": 600.0, "c": 600.0}, 2)
    assert next(results) == ("a", None)
    results.close()
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


INTERRUPTED_PARENT = """
import os, signal, time
from tokcom_phy.utils.processes import SPAWN, interrupts_blocked

if __name__ == "__main__":
    with interrupts_blocked():
        child = SPAWN.Process(target=print, args=("went on",))
        child.start()
    try:
        os.killpg(0, signal.SIGINT)  # as the keyboard does, while the child imports
        time.sleep(60)
    except KeyboardInterrupt:
        child.join()
"""


def test_a_process_leaves_interrupts_to_its_parent_from_its_first_moment(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(INTERRUPTED_PARENT)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where a shell runs tests behind `&`
    )
    assert (done.stdout, done.stderr) == ("went on\n", "")
