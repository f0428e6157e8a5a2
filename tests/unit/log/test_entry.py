"""Entries: a head that stays, a body that may go, and lines that show where they were touched."""

from __future__ import annotations

import hashlib
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from custody.log import (
    Checkpoint,
    EntryHead,
    Frontier,
    LogEntry,
    LogLine,
    check_history,
    hash_leaf,
    open_body,
    read_line,
    seal,
    withhold,
    write_line,
)
from custody.record import Record, tagged_hash
from custody.testing.asserts import refuses

BODY = '{"name":"Zoë","note":"\\"quoted\\""}'.encode()
SALT = bytes(range(32))
ENTRY = seal(3, "approved", "alice", (bytes(32), b"\1" * 32), BODY, SALT)
digests = st.binary(min_size=32, max_size=32)
words = st.text(st.sampled_from("aé \"\\'/_-9本"), min_size=1, max_size=12).map(
    lambda text: "x" + text.replace("  ", " -") + "x"
)


def history(size):
    return [seal(index, "observed", "desk", (), b'{"n":%d}' % index, bytes([index]) * 32) for index in range(size)]


@given(
    index=st.integers(min_value=0, max_value=2**53 - 1),
    entry=words,
    author=words,
    subjects=st.lists(digests, max_size=3),
    body=digests,
)
def test_a_head_is_spelled_as_rfc_8785_says(index, entry, author, subjects, body):
    head = EntryHead(index=index, entry=entry, author=author, subjects=tuple(subjects), body=body)
    assert head.to_bytes() == Record.to_bytes(head) == rfc8785.dumps(head.model_dump(mode="json"))
    assert EntryHead.from_bytes(head.to_bytes()) == head


@given(body=st.text(max_size=40), salt=digests)
def test_a_line_is_spelled_as_rfc_8785_says_and_reads_back(body, salt):
    entry = seal(0, "requested", "bob", (salt,), body.encode(), salt)
    line = write_line(entry)
    assert line == rfc8785.dumps(json.loads(line))
    assert read_line(line, 0) == entry
    assert b"\n" not in line


def test_the_leaf_is_the_hash_of_the_head_alone():
    assert ENTRY.leaf == hashlib.sha256(b"\0" + ENTRY.head.to_bytes()).digest() == hash_leaf(ENTRY.head.to_bytes())


def test_the_body_digest_is_salted_and_tagged():
    assert ENTRY.head.body == tagged_hash("custody/log-body/v1", SALT + BODY)
    assert seal(3, "approved", "alice", (), BODY, bytes(32)).head.body != ENTRY.head.body


def test_a_sealed_body_opens():
    assert open_body(ENTRY) == BODY


def test_another_body_or_salt_does_not_open():
    for entry in (
        LogEntry(head=ENTRY.head, salt=SALT, body=BODY + b" "),
        LogEntry(head=ENTRY.head, salt=bytes(32), body=BODY),
        # Moving a byte from salt to body is caught by the salt's fixed length, and this is its nearest kin.
        LogEntry(head=ENTRY.head, salt=SALT[1:] + BODY[:1], body=BODY[1:]),
    ):
        with refuses("LOG_CORRUPT") as caught:
            open_body(entry)
        assert caught.error.values()["index"] == 3


def test_a_withheld_body_takes_its_salt_along_and_leaves_the_leaf():
    without = withhold(ENTRY)
    assert (without.salt, without.body) == (b"", None)
    assert without.leaf == ENTRY.leaf
    assert SALT.hex().encode() not in write_line(without)
    assert read_line(write_line(without), 3) == without
    with refuses("BODY_WITHHELD"):
        open_body(without)


def test_an_entry_without_body_never_keeps_a_salt():
    assert LogEntry(head=ENTRY.head, salt=SALT, body=None) == withhold(ENTRY)


def test_a_salt_of_another_size_and_a_body_that_is_no_text_are_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        seal(0, "approved", "alice", (), BODY, b"short")
    with pytest.raises(UnicodeDecodeError):
        seal(0, "approved", "alice", (), b"\xff", SALT)


def test_an_author_that_could_lie_on_a_screen_is_refused():
    with refuses("TEXT_FORBIDDEN"):
        seal(0, "approved", "alice\u202e", (), BODY, SALT)


@pytest.mark.parametrize("missing", ["salt", "body"])
def test_salt_and_body_go_together_in_a_line(missing):
    fields = json.loads(write_line(ENTRY)) | {missing: None}
    with refuses("RECORD_INVALID"):
        LogLine.from_bytes(rfc8785.dumps(fields))
    with refuses("LOG_CORRUPT"):
        read_line(rfc8785.dumps(fields), 3)


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=60))
def test_a_line_overwritten_with_anything_reads_as_before_or_is_found(junk, at, cut):
    good = write_line(ENTRY)
    line = good[:at] + junk + good[at + cut :]
    if line == good:
        assert read_line(line, 3) == ENTRY
    else:
        with refuses("LOG_CORRUPT"):
            read_line(line, 3)


@pytest.mark.parametrize("body", [rb'"\ud800"', b'"\xff"', b"[" * 5000, b"1" * 5000, b'{"a":1}'])
def test_a_body_that_is_no_text_is_found(body):
    line = write_line(ENTRY)
    start, end = line.index(b'"body":') + 7, line.index(b',"head":')
    with refuses("LOG_CORRUPT"):
        read_line(line[:start] + body + line[end:], 3)


def test_a_line_out_of_place_is_found_at_its_place():
    with refuses("LOG_CORRUPT") as caught:
        read_line(write_line(ENTRY), 4)
    assert caught.error.values()["index"] == 4


def test_a_line_whose_leaf_is_anothers_is_found():
    fields = json.loads(write_line(ENTRY)) | {"leaf": bytes(32).hex()}
    with refuses("LOG_CORRUPT"):
        read_line(rfc8785.dumps(fields), 3)


def test_a_history_is_checked_against_a_checkpoint_inside_it():
    entries = history(9)
    whole = Frontier.of(entry.leaf for entry in entries)
    for size in range(10):
        checkpoint = Checkpoint("log.example", size, Frontier.of(entry.leaf for entry in entries[:size]).root)
        assert check_history(entries, checkpoint) == whole
        assert check_history(map(withhold, entries), checkpoint) == whole


def test_a_history_shorter_than_its_checkpoint_says_what_is_missing():
    entries = history(9)
    checkpoint = Checkpoint("log.example", 9, Frontier.of(entry.leaf for entry in entries).root)
    with refuses("LOG_CORRUPT") as caught:
        check_history(entries[:6], checkpoint)
    assert caught.error.values()["index"] == 6


def test_an_entry_in_another_s_place_is_found_though_the_root_is_that_of_the_checkpoint():
    entries = history(9)
    entries[3], entries[4] = entries[4], entries[3]
    checkpoint = Checkpoint("log.example", 9, Frontier.of(entry.leaf for entry in entries).root)
    with refuses("LOG_CORRUPT") as caught:
        check_history(entries, checkpoint)
    assert caught.error.values()["index"] == 3


def test_a_rewritten_history_has_another_root():
    entries = history(9)
    checkpoint = Checkpoint("log.example", 9, Frontier.of(entry.leaf for entry in entries).root)
    entries[4] = seal(4, "observed", "someone else", (), b"{}", SALT)
    with refuses("PROOF_INVALID"):
        check_history(entries, checkpoint)
