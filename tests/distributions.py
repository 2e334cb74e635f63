"""Copies installed distributions, and what they need, into a folder: what `pip install --target` would do, without a
registry. As a program: `python distributions.py FOLDER NAME…`; a name may ask for extras, as in `uvicorn[standard]`."""

import shutil
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def copy(folder, *names):
    """What is needed and not installed is left out; what is named must be there."""
    for name in names:
        metadata.distribution(Requirement(name).name)
    done, waiting = set(), [Requirement(name) for name in names]
    while waiting:
        asked = waiting.pop()
        name = asked.name.lower().replace("_", "-")
        if name in done:
            continue
        done.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for file in distribution.files or []:
            if file.parts[0] in ("..", "/") or file.suffix == ".pyc":
                continue
            target = Path(folder) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)
        for line in distribution.requires or []:
            requirement = Requirement(line)
            extras = asked.extras or {""}
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(requirement)


if __name__ == "__main__":
    try:
        copy(*sys.argv[1:])
    except metadata.PackageNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed")
