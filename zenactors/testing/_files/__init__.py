"""The tree of directories and files behind `VirtualFiles`."""
