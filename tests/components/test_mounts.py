from __future__ import annotations

import errno
import os

import pytest

from zenactors.components import _mounts
from zenactors.components._mounts import is_network, leads_to_network, mount_points

MOUNTS = rb"""
21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
30 21 0:40 / /mnt/nfs rw,relatime shared:1 - nfs4 server:/logs rw,vers=4.2
31 21 0:41 / /mnt/with\040space rw - cifs //server/share rw
32 21 0:42 / /mnt/sshfs rw - fuse.sshfs user@server: rw
33 21 8:2 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
34 21 0:43 / /net rw - autofs /etc/auto.net rw
35 21 0:44 / /hidden rw - nfs server:/old rw
36 35 8:3 / /hidden rw - xfs /dev/sdc1 rw
a line that is none
"""
KINDS = mount_points(MOUNTS)
LINKS = {
    "/var/log/app": "/mnt/nfs/app",
    "/var/log/near": "../../mnt/nfs",
    "/var/log/local": "/srv/app",
    "/var/log/through": "local/../beside",
    "/srv/beside": "/net/host",
    "/srv/loop": "/srv/loop",
    "/mnt/ntfs/out": "/",
}


def readlink(path: str) -> str:
    """As `os.readlink`, on a machine whose servers are gone: a call there would hang."""
    gone = ("/mnt/nfs/", "/mnt/with space/", "/mnt/sshfs/", "/net/")
    assert not f"{path}/".startswith(gone), path
    if path not in LINKS:
        raise OSError(errno.EINVAL, "Invalid argument", path)
    return LINKS[path]


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/", False),
        ("/mnt", False),
        ("/mnt/nfs", True),
        ("/mnt/nfs/", True),
        ("/mnt/nfs/a/b.log", True),
        ("/mnt/nfs2/a.log", False),
        ("/mnt/with space/a.log", True),
        ("/mnt/sshfs/a.log", True),
        ("/mnt/ntfs/a.log", False),
        ("/net/host/a.log", True),
        ("/hidden/a.log", False),
        ("/var/log/../../mnt/./nfs//a.log", True),
        ("/../mnt/nfs/a.log", True),
        ("/var/log/app/a.log", True),
        ("/var/log/app", True),
        ("/var/log/near/a.log", True),
        ("/var/log/local/a.log", False),
        ("/var/log/through/a.log", True),
        ("/mnt/ntfs/out/net/host", True),
        ("/srv/loop/a.log", False),
        ("/missing/a.log", False),
    ],
)
def test_a_path_is_followed_as_far_as_the_first_network_file_system(path, network):
    assert leads_to_network(path, KINDS, readlink) is network


def test_everything_is_on_the_network_if_the_root_is():
    assert leads_to_network("/a", {"/": "nfs"}, readlink)


def test_the_mounts_of_this_process_are_read(tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_bytes(b"40 1 0:1 / %b rw - nfs s:/ rw" % os.fsencode(tmp_path))
    monkeypatch.setattr(_mounts, "_MOUNTS", tmp_path / "mountinfo")
    assert is_network(f"{tmp_path}/a.log")
    assert not is_network(f"{tmp_path.parent}/a.log")

    monkeypatch.chdir(tmp_path)
    assert is_network("a.log")
    monkeypatch.chdir(tmp_path.parent)
    assert not is_network("a.log")


def test_without_a_list_of_mounts_every_path_counts_as_local(tmp_path, monkeypatch):
    monkeypatch.setattr(_mounts, "_MOUNTS", tmp_path / "missing")
    assert not is_network("/mnt/nfs/a.log")
