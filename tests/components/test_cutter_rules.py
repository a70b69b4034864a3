from __future__ import annotations

import warnings

import pytest

from zenactors.components.tail.cutter_rules import CutterRules, rules_for


def test_the_rules_of_nothing_in_particular_are_the_defaults():
    assert rules_for() == CutterRules()


@pytest.mark.parametrize(
    ("encoding", "codec", "unit", "delimiter"),
    [
        ("UTF8", "utf-8", 1, b"\n"),
        ("utf-8-sig", "utf-8", 1, b"\n"),
        ("latin-1", "iso8859-1", 1, b"\n"),
        ("ascii", "ascii", 1, b"\n"),
        ("cp1252", "cp1252", 1, b"\n"),
        ("cp037", "cp037", 1, b"\x25"),
        ("cp424", "cp424", 1, b"\x25"),
        ("gb18030", "gb18030", 1, b"\n"),
        ("shift_jis", "shift_jis", 1, b"\n"),
        ("utf-16-le", "utf-16-le", 2, b"\n\0"),
        ("UTF-16BE", "utf-16-be", 2, b"\0\n"),
        ("utf-32-le", "utf-32-le", 4, b"\n\0\0\0"),
        ("utf-32-be", "utf-32-be", 4, b"\0\0\0\n"),
    ],
)
def test_an_encoding_gives_the_codec_the_unit_and_the_delimiter(encoding, codec, unit, delimiter):
    rules = rules_for(encoding)

    assert (rules.encoding, rules.unit, rules.delimiter) == (codec, unit, delimiter)


@pytest.mark.parametrize(
    ("encoding", "head", "codec"),
    [
        ("utf-16", b"\xff\xfea\0", "utf-16-le"),
        ("utf-16", b"\xfe\xff\0a", "utf-16-be"),
        ("utf-16", b"\xfe", "utf-16-be"),
        ("utf-16", b"\xff", "utf-16-le"),
        ("utf-16", b"a\0b\0", "utf-16-le"),
        ("utf-16", b"", "utf-16-le"),
        ("utf_32", b"\xff\xfe\0\0", "utf-32-le"),
        ("utf_32", b"\0\0\xfe\xff", "utf-32-be"),
        ("utf_32", b"a\0\0\0", "utf-32-le"),
        ("utf-16-le", b"\xfe\xff", "utf-16-le"),
        ("utf-8", b"\xfe\xff", "utf-8"),
    ],
)
def test_the_mark_in_the_file_tells_the_byte_order(encoding, head, codec):
    assert rules_for(encoding, head=head).encoding == codec


@pytest.mark.parametrize(
    "encoding",
    [
        *("no-such", "", "a\0b", None, 8, "hex", "rot13", "base64", "undefined"),
        *("utf-7", "hz", "iso2022_jp", "iso2022_kr", "idna", "punycode"),
        *("unicode_escape", "raw_unicode_escape"),
    ],
)
def test_an_encoding_that_lines_cannot_have_is_refused(encoding):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="encoding is ") as caught:
            rules_for(encoding)
    assert repr(encoding) in str(caught.value)
    assert "Use " in str(caught.value)


def test_a_delimiter_is_encoded():
    assert rules_for("utf-8", "é").delimiter == "é".encode()
    assert rules_for("utf-16-be", "\0").delimiter == b"\0\0"
    assert rules_for("gbk", "\r\n").delimiter == b"\r\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delimiter": ""}, "delimiter is ''"),
        ({"delimiter": b"\n"}, r"delimiter is b'\\n'"),
        ({"delimiter": "é", "encoding": "ascii"}, "which ascii does not have"),
        ({"delimiter": "\ud800"}, "which utf-8 does not have"),
        ({"delimiter": "|", "encoding": "gbk"}, "can be parts of other characters in gbk"),
        ({"delimiter": "0", "encoding": "gb18030"}, "can be parts of other"),
        ({"max_line_bytes": 0}, "max_line_bytes is 0"),
        ({"max_line_bytes": True}, "max_line_bytes is True"),
        ({"max_line_bytes": 1.5}, "max_line_bytes is 1.5"),
        ({"max_record_lines": 0}, "max_record_lines is 0"),
        ({"long_lines": "wrap"}, 'long_lines is \'wrap\', but "truncate", "split" or "skip"'),
        ({"multiline": "("}, r"multiline is '\(', which is not a regular expression"),
        ({"multiline": 3}, "multiline is 3"),
    ],
)
def test_a_wrong_option_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        rules_for(**options)


def test_a_limit_is_a_number_of_whole_code_units():
    assert rules_for("utf-16-le", max_line_bytes=7).max_line_bytes == 6
    assert rules_for("utf-32-le", max_line_bytes=3).max_line_bytes == 4
    assert rules_for("utf-32-le", max_line_bytes=11).max_record_bytes == 8
    assert rules_for("utf-8", max_line_bytes=7).max_line_bytes == 7
