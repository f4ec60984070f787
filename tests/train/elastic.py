"""What `torchrun` starts in `test_elastic.py`: the toy's run, of which one process kills itself."""

import os
import signal
import sys
from pathlib import Path

from toy import line_losses, run_to

from openlumiere.train.step import part_seed

STEPS, KILLED_AT = 12, 7


def main(folder: Path) -> None:
    """Train to the last step; the first time that the second process reaches `KILLED_AT`, it dies
    without a word.
    """
    mark = folder.with_suffix(".killed")
    fatal = part_seed(0, 2 * KILLED_AT + 1)

    def losses(net, count, generator):
        if generator.initial_seed() == fatal and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return line_losses(net, count, generator)

    run_to(folder, STEPS, losses=losses, parts=2, save_minutes=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
