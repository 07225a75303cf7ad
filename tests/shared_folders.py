"""Folders that are made once in a run of the tests, by whichever process needs them first."""

import hashlib
import json
import shutil

import pytest
from filelock import FileLock


class SharedFolders:
    """Folders below one home that every process of the tests reads and none changes."""

    def __init__(self, home):
        self.home = home
        self.home.mkdir(exist_ok=True)

    def __call__(self, name, make):
        """The folder of a name; `make(folder)` fills it where it is not there yet."""
        folder = self.home / name
        with FileLock(self.home / f"{name}.lock"):
            if not self._listing(name).exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                self._listing(name).write_text(json.dumps(digests(folder)), "utf-8")
        return folder

    def changes(self):
        """The files that are not what they were when their folder was made."""
        changed = []
        for listing in sorted(self.home.glob("*.json")):
            before = json.loads(listing.read_text("utf-8"))
            after = digests(self.home / listing.stem)
            names = before.keys() | after.keys()
            changed += [
                f"{listing.stem}/{name}"
                for name in sorted(names)
                if before.get(name) != after.get(name)
            ]
        return changed

    def _listing(self, name):
        return self.home / f"{name}.json"


def digests(folder):
    """{path below the folder: digest of the file}."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="session")
def shared_folder(request, tmp_path_factory):
    """shared_folder(name, make) -> the folder that make(folder) has filled, once for all processes.

    Whoever changes a file works on a copy; at the end nothing may have changed.
    """
    base = tmp_path_factory.getbasetemp()
    # A process of xdist has its folder within that of the whole run.
    home = base.parent if hasattr(request.config, "workerinput") else base
    folders = SharedFolders(home / "shared")
    yield folders
    assert folders.changes() == [], "a test has changed a folder that all tests share"
