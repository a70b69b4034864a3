from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from zenactors.config.redaction import json_text, plain, without_secrets
from zenactors.daemon.json_file import save_json
from zenactors.secret_text import REDACTED, redacted


def test_values_of_secret_looking_keys_are_redacted_at_any_depth() -> None:
    state = {"db": {"password": "p", "user": "u", "api_key": "k"}, "list": [{"authToken": "t"}]}

    assert plain(state) == {
        "db": {"password": REDACTED, "user": "u", "api_key": REDACTED},
        "list": [{"authToken": REDACTED}],
    }


def test_any_value_can_be_written_and_a_recursive_one_is_cut() -> None:
    loop: dict[object, object] = {(1, 2): {3}, "object": object}
    loop["self"] = loop

    text = json.dumps(plain(loop))

    assert '"(1, 2)": [3]' in text
    assert "…" in json.loads(text)["self"].__repr__()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    save_json(path, {"n": 1})

    class Unreadable(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        save_json(path, {"n": Unreadable()})

    assert json.loads(path.read_text()) == {"n": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.state"]


def test_surrogates_and_values_with_a_failing_repr_are_written_nevertheless(
    tmp_path: Path,
) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    path = tmp_path / "a.state"
    save_json(path, {"surrogate": "\udc80", "object": Unprintable()})

    state = json.loads(path.read_text())
    assert state["surrogate"] == "\udc80"
    assert state["object"] == "<Unprintable whose repr raises RuntimeError>"


class Shown:
    """An object that shows its secret, as a key, a value or anywhere."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


PLANTED = {
    "url": "postgres://me:hunter2@db/x",
    "dsn": ["redis://:hunter2@host:6379/0", ("host=db password=hunter2 user=me",)],
    "several": "amqp://a:hunter2@b,amqp://c:hunter2@d",
    "bytes": b"amqp://me:hunter2@host",
    b"password": "hunter2",
    Shown("the-api-key"): "hunter2",
    Shown("mysql://me:hunter2@host"): 1,
    ("secret", 1): {"deep": ["hunter2"]},
    "object": Shown("Options(user='me', password='hunter2', port=1)"),
    "dict in an object": Shown("{'token': 'hunter2', 'n': 1}"),
    "long": Shown(f"{'x' * 150} postgres://me:{'hunter2' * 20}@host"),
    "long quoted": Shown(f"{'x' * 150} password='a {'hunter2 ' * 20}'"),
    "sets": {frozenset({"ftp://me:hunter2@host"})},
    "argv": ["run", "--password=hunter2", "--db-password", "hunter2", "--token", "hunter2", "x"],
    "command": "run --password hunter2 --user me",
    "query": "https://host/?user=me&access_token=hunter2&n=1",
    "header": "Authorization: hunter2",
    "nested": [[[{"list": [{"Private-Key": "hunter2"}]}]]],
}


def test_no_planted_secret_comes_through() -> None:
    assert "hunter2" in repr(PLANTED)
    assert "hunter2" not in json_text(PLANTED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://me:p@ss:w@db:5432/x?y=1", "postgres://me:***@db:5432/x?y=1"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("ssh://git@host/x //comment", "ssh://git@host/x //comment"),
        ("host=db password='a b' user=me", "host=db password=*** user=me"),
        ("x?token=abc&n=1", "x?token=***&n=1"),
        ("run --password abc --user me", "run --password *** --user me"),
        ("passed 3 of 4; compass: north", "passed 3 of 4; compass: north"),
        ("Grüße an Tom & Co = 3", "Grüße an Tom & Co = 3"),
    ],
)
def test_of_a_text_the_secret_part_alone_is_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted(expected) == expected


def test_of_a_command_line_the_other_arguments_stay() -> None:
    argv = ["run", "--password", "--x", "--user", "me", "--no-token", "--token=a", "b"]
    assert plain(argv) == [
        *("run", "--password", REDACTED, "--user", "me", "--no-token", REDACTED, "b")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "//a:" * 50_000,
        "passw" * 40_000,
        "--" * 100_000,
        "-" * 200_000 + "token" + " " * 200_000,
        "password='" * 20_000,
        "x" * 200_000,
    ],
)
def test_a_long_text_takes_no_longer_than_it_is_long(text: str) -> None:
    assert len(redacted(text)) <= len(text) + 3  # with a square of time this would not end


def test_a_value_that_contains_itself_many_times_is_cut_at_once() -> None:
    loop: list[object] = []
    loop += [loop] * 50

    assert plain({"a": loop, "b": loop}) == {"a": ["…"] * 50, "b": ["…"] * 50}


def test_numbers_that_json_does_not_know_are_text() -> None:
    values = [float("nan"), float("-inf"), 10**5000, 2**64, 1.5, True]

    assert json.loads(json_text(values), parse_constant=pytest.fail) == [
        *("nan", "-inf", "<int whose repr raises ValueError>", 2**64, 1.5, True)
    ]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_file_has_the_mode_that_is_asked_for_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        save_json(tmp_path / "a", {})
        save_json(tmp_path / "b", {}, 0o640)
    finally:
        os.umask(before)

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes == {"a": 0o600, "b": 0o640}


def test_an_error_names_the_file_and_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a.state"
    with pytest.raises(FileNotFoundError) as error:
        save_json(path, {})
    assert error.value.filename == str(path)

    target = tmp_path / "target"
    target.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    save_json(link, {})
    assert (target.read_text(), link.is_symlink()) == ("mine", False)


@pytest.mark.parametrize(
    "words", [["--set", "components.c.token=a b,c"], ["--set=components.c.token=a b,c"]]
)
def test_of_an_assignment_to_a_secret_key_nothing_is_left(words: list[str]) -> None:
    assert plain(words) == [*words[:-1], words[-1].replace("a b,c", REDACTED)]


def test_a_secret_option_is_not_in_a_text_that_names_it() -> None:
    options = {"auth": {"passwords": ["first", "second"]}, "user": "third", "token": "abc"}
    text = "first, second and third are not abcdef"
    assert without_secrets(text, options) == f"{REDACTED}, {REDACTED} and third are not abcdef"


@pytest.mark.parametrize(
    "spelled", [str, str.upper, str.title, lambda word: word.replace("s", "\u017f")]
)
@pytest.mark.parametrize(
    "word",
    [
        *("password", "passphrase", "pwd", "secret", "token", "api_key", "api-key", "apikey"),
        *("credentials", "private", "authorization"),
    ],
)
def test_each_word_is_found_in_a_text_however_it_is_spelled(word: str, spelled: Any) -> None:
    name = spelled(word)

    assert redacted(f"GET /?{name}=x1y2 and {name}: x1y2") == f"GET /?{name}=*** and {name}: ***"
