"""Files become layers; their errors are stored with their places, and raise nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from zenactors.config.sources import MAX_BYTES, MAX_DEPTH, read_directory, read_file, read_layers

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to mistrust")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.toml", "# c\n[a]\nb = 1 # d\n"),
        ("x.conf", '// c\n{"a": {\n"b": 1}} # d\n'),
        ("x.json", '{\n"a": {\n"b": 1}}'),
        ("x", '{\n"a": {\n"b": 1}}'),
        ("X.TOML", "# c\n[a]\nb = 1\n"),
        ("bom.toml", "\ufeff# c\n[a]\nb = 1\n"),
        ("bom.json", '\ufeff{\n"a": {\n"b": 1}}'),
        ("x.json", '/* c\n*/ {"a": {\n"b": 1}}'),
    ],
)
def test_a_file_is_toml_by_its_name_and_json_otherwise(name: str, text: str) -> None:
    layer = read_file(write(Path(name), text))
    assert layer.data == {"a": {"b": 1}}
    assert layer.place(("a", "b")) == f"{name}:3"
    assert layer.place(("a", "c")) == f"{name}:2"  # where it would belong
    assert (layer.kind, layer.problems) == ("file", ())


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        ("x.toml", b"a = 1\nb = \n", ["x.toml:2:5: Invalid value: one is missing here"]),
        ("x.conf", b'{"a": 1,\n "a": 2,\n"b": 1, "b": 2}',
         ["x.conf:2:2: key 'a' is given twice; first in line 1",
          "x.conf:3:9: key 'b' is given twice; first in line 3"]),
        ("x.conf", b"# c\n[1]", ["x.conf:1:1: an object is expected: { ... }"]),
        ("x.conf", b"{\n  \xff}", ["x.conf:2:3: is not UTF-8 text; save the file as UTF-8"]),
        ("x.toml", b"a = '\xff'", ["x.toml:1:6: is not UTF-8 text; save the file as UTF-8"]),
        ("x.toml", "a = 1".encode("utf-16"),
         ["x.toml:1:1: is UTF-16 text; save the file as UTF-8"]),
        ("x.conf", b'# c\na = 1\n[b]\n',
         ["x.conf:1:1: this is TOML; let the file's name end in .toml, or write JSON: { ... }"]),
        *(("x.conf", text, [
            "x.conf:1:1: this is neither JSON nor TOML;"
            " write JSON: { ... }, or TOML in a file *.toml"
        ]) for text in (b"[prog]\nlevel = debug\n", b"; c\nlevel=debug\n", b"level: debug\n")),
        ("x.toml", b'{"a": 1}',
         ["x.toml:1:1: this is JSON; write TOML, or let the file's name end in .json"]),
        ("x.conf", b'{"a": ' + b"[" * 100_000, ["x.conf: is nested too deeply"]),
        ("x.toml", b"a = " + b"[" * 100_000, ["x.toml: is nested too deeply"]),
        ("x.conf", b'{"a": ' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
         ["x.conf: is nested too deeply"]),
    ],
)  # fmt: skip
def test_an_error_in_a_file_has_its_place(name: str, content: bytes, problems: list[str]) -> None:
    write(Path(name), "").write_bytes(content)
    layer = read_file(Path(name), asked_by="--config-file")
    assert list(layer.problems) == problems
    assert layer.data == {}


def test_the_deepest_nesting_allowed_is_read() -> None:
    text = '{"a": ' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert read_file(write(Path("x.conf"), text)).problems == ()


def test_a_missing_file_is_a_problem_only_if_an_option_names_it() -> None:
    assert read_file(Path("none.conf")).problems == ()
    assert read_file(Path("none.conf"), asked_by="--config-file").problems == (
        "none.conf: there is no such file; --config-file names it",
    )
    assert read_directory(Path("none")) == []
    (layer,) = read_directory(Path("none"), asked_by="--config-dir")
    assert layer.problems == ("none: there is no such directory; --config-dir names it",)


def test_an_existing_file_that_cannot_be_read_is_always_a_problem() -> None:
    Path("directory.conf").mkdir()
    assert read_file(Path("directory.conf")).problems == (
        "directory.conf: cannot be read: Is a directory",
    )
    write(Path("file"), "")
    (layer,) = read_directory(Path("file"), asked_by="config_dir")
    assert layer.problems == ("file: cannot be read: Not a directory; config_dir names it",)


def test_the_files_of_a_directory_come_in_the_order_of_their_names() -> None:
    directory = Path("conf.d")
    directory.mkdir(mode=0o755)
    for name in ("20-b.toml", "10-c.conf", "30-a.json"):
        write(directory / name, "")
    for name in (".hidden.conf", "x.conf~", "x.conf.bak", "#x.conf#", ".#x.conf", "README"):
        write(directory / name, "not read")
    write(directory / "30-a.json", "{}")
    (directory / "sub.conf").mkdir()
    os.mkfifo(directory / "pipe.conf")  # reading it would wait for ever

    layers = read_directory(directory)
    assert [layer.label for layer in layers] == [
        "conf.d/10-c.conf", "conf.d/20-b.toml", "conf.d/30-a.json",
    ]  # fmt: skip
    assert {layer.kind for layer in layers} == {"directory"}
    assert [problem for layer in layers for problem in layer.problems] == []


def test_each_file_of_a_directory_has_its_own_problems() -> None:
    Path("conf.d").mkdir(mode=0o755)
    write(Path("conf.d/a.toml"), "a = ")
    write(Path("conf.d/b.conf"), '{"b": 1}')
    Path("conf.d/c.conf").symlink_to("nowhere")
    first, second, third = read_directory(Path("conf.d"))
    assert first.problems == ("conf.d/a.toml:1:5: Invalid value: one is missing here",)
    assert second.data == {"b": 1}
    assert third.problems == ("conf.d/c.conf: there is no such file; config_dir names it",)


@root_only
@pytest.mark.parametrize("mode", [0o666, 0o646])
def test_root_refuses_a_file_that_others_can_write(mode: int) -> None:
    path = write(Path("x.conf"), '{"a": 1}')
    path.chmod(mode)
    layer = read_file(path)
    assert layer.data == {}
    assert layer.problems == (
        f"x.conf can be written by others (mode {mode:o}), and it configures a process"
        " that runs as root; use: chown root x.conf && chmod go-w x.conf",
    )


@root_only
def test_root_refuses_a_file_of_another_user() -> None:
    path = write(Path("x.toml"), "a = 1")
    os.chown(path, 12345, 0)
    (problem,) = read_file(path).problems
    assert problem.startswith("x.toml belongs to user 12345, and it configures")


@root_only
def test_root_refuses_a_directory_in_which_others_can_put_files() -> None:
    Path("conf.d").mkdir()
    write(Path("conf.d/a.conf"), '{"a": 1}')
    Path("conf.d").chmod(0o777)
    (layer,) = read_directory(Path("conf.d"))
    assert layer.data == {}
    assert layer.problems[0].startswith("conf.d can be written by others (mode 777)")


def test_a_user_other_than_root_may_use_a_file_that_others_can_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    path = write(Path("x.conf"), '{"a": 1}')
    path.chmod(0o666)
    assert read_file(path).data == {"a": 1}


def test_layers_come_from_the_weakest_to_the_strongest() -> None:
    Path("conf.d").mkdir(mode=0o755)
    write(Path("conf.d/a.conf"), "{}")
    write(Path("x.conf"), "{}")
    layers = read_layers(
        default={"config_dir": "conf.d"}, program={}, command_line={"config_file": "x.conf"}
    )
    assert [(layer.kind, layer.label) for layer in layers] == [
        ("default", "default"),
        ("program", "program"),
        ("directory", "conf.d/a.conf"),
        ("file", "x.conf"),
        ("command line", "command line"),
    ]


@pytest.mark.parametrize(
    ("default", "program", "command_line", "problems"),
    [
        ({"config_file": "n.conf", "config_dir": "n"}, {}, {}, []),
        ({}, {"config_file": "n.conf"}, {},
         ["n.conf: there is no such file; config_file names it"]),
        ({}, {}, {"config_dir": "n"}, ["n: there is no such directory; --config-dir names it"]),
        ({}, {"config_file": "p.conf"}, {"config_file": "n.conf"},
         ["n.conf: there is no such file; --config-file names it"]),
        ({}, {}, {"config_file": "n.conf", "config_file_silent": True}, []),
        ({}, {"config_dir_silent": True}, {"config_dir": "n"}, []),
        ({}, {"config_file_silent": True}, {"config_file": "n", "config_file_silent": False},
         ["n: there is no such file; --config-file names it"]),
        ({"config_file": "n.conf"}, {"config_file": None}, {}, []),
        ({}, {"config_file": "n.conf"}, {"config_file": ""}, []),
        ({}, {"config_file": Path("n.conf")}, {},
         ["n.conf: there is no such file; config_file names it"]),
        ({}, {"config_file": 5}, {}, []),
    ],
)  # fmt: skip
def test_files_that_an_option_names_must_exist_unless_silent(
    default: dict[str, Any],
    program: dict[str, Any],
    command_line: dict[str, Any],
    problems: list[str],
) -> None:
    layers = read_layers(default=default, program=program, command_line=command_line)
    assert [problem for layer in layers for problem in layer.problems] == problems


def test_a_name_that_no_file_can_have_is_a_problem() -> None:
    (problem,) = read_file(Path("a\0b"), asked_by="config_file").problems
    assert problem.startswith("a\\x00b: cannot be read: ")
    (layer,) = read_directory(Path("a\0b"), asked_by="config_dir")
    assert layer.problems[0].startswith("a\\x00b: cannot be read: ")


# --- files that are no ordinary ones -----------------------------------------------------------


def test_a_pipe_that_is_written_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("w") as file:
            for line in ("a = 1\n", "b = 2\n"):
                file.write(line)
                file.flush()

    writer = threading.Thread(target=write)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer can begin
    writer.start()
    writer.join()
    try:
        assert read_file(pipe).data == {"a": 1, "b": 2}
    finally:
        os.close(reader)


def test_a_pipe_that_nobody_writes_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zenactors.config.sources.PATIENCE", 0.1)
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)

    assert read_file(pipe).problems == (f"{pipe}: cannot be read: nothing came within 0 s",)


def test_what_has_no_end_and_what_is_far_too_large_is_refused(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse.toml"
    with sparse.open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    for path in (Path("/dev/zero"), sparse):
        expected = f"{path}: is larger than 16 MiB; is it a configuration?"
        assert read_file(path, toml=True).problems == (expected,)


def test_the_empty_device_is_an_empty_configuration() -> None:
    layer = read_file(Path("/dev/null"), toml=True)  # which everyone may write to
    assert (layer.data, layer.problems) == ({}, ())


def test_a_file_whose_size_says_nothing_is_read_nevertheless() -> None:
    [problem] = read_file(Path("/proc/version")).problems
    assert problem.startswith("/proc/version:1:")  # it has been read: it is no JSON
