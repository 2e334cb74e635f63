"""Packages of the tests' npm folder, as programs of the tests would have them installed."""

import json
import os
import shutil
from pathlib import Path

import pytest

MODULES = Path(os.environ.get("HEARTH_TEST_NPM", "target/tools/tests/npm")) / "node_modules"


def install(folder, *names):
    """Puts packages, and what they need, into the `node_modules` of a folder: what `npm install` would do. Skips the
    test where one is not there."""
    for name in names:
        if not (MODULES / name).is_dir():
            pytest.skip(f"{name} is not installed in the npm folder of the tests")
    waiting, done = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in done or not (MODULES / name / "package.json").is_file():
            continue
        done.add(name)
        shutil.copytree(MODULES / name, folder / "node_modules" / name, symlinks=True, copy_function=link)
        manifest = manifest_of(name)
        waiting += [*manifest.get("dependencies", {}), *manifest.get("optionalDependencies", {})]


def manifest_of(name):
    """The `package.json` of an installed package."""
    return json.loads((MODULES / name / "package.json").read_text())



def link(source, target, follow_symlinks=True):
    """The same file under another name, where that can be: packages are large, and nobody writes into them."""
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
