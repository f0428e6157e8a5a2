"""The bytes of records: one spelling, checked against another program, and nothing in them that cannot be bounded."""

import functools
import hashlib
import importlib
import json
import pkgutil
import types
import typing
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

import custody
from custody.errors import CustodyError
from custody.record import (
    MAX_TEXT,
    SORTED,
    Digest,
    FileRecord,
    HexBytes,
    Record,
    Text,
    TextForbidden,
    canonical,
    check_text,
    tagged_hash,
)
from custody.testing.asserts import refuses
from custody.units import Count, Sat


def import_everything() -> list[type[Record]]:
    for module in pkgutil.walk_packages(custody.__path__, "custody."):
        if not module.name.endswith(".__main__") and ".migrations" not in module.name:
            _import(module.name)

    def below(kind: type[Record]) -> typing.Iterator[type[Record]]:
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    return sorted({each for each in below(Record) if each.__module__.startswith("custody.")}, key=str)


def _import(name: str) -> None:
    """Import a module, unless it belongs to an extra that is not installed here."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("custody"):
            raise


RECORDS = import_everything()
LEAVES = [each for each in RECORDS if not each.__subclasses__()]
every_record = pytest.mark.parametrize("record", LEAVES, ids=lambda each: each.__name__)


class Sample(Record):
    kind: ClassVar[str] = "sample-of-this-test"

    amount: Sat
    data: HexBytes
    names: Annotated[tuple[Text, ...], SORTED]
    note: Text | None


def sample(**changes: object) -> Sample:
    return Sample(**({"amount": 5, "data": b"\x01\xff", "names": ("a", "b"), "note": None} | changes))


# --- canonical bytes --------------------------------------------------------------------------------------------------

safe_text = st.text(max_size=20)
plain_text = st.text('aZ09 "\\/\u00e9\u0416\u65e5\U0001f600', max_size=20).filter(
    lambda text: text == text.strip() and "  " not in text
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | safe_text,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def is_utf8(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(json_values.filter(is_utf8))
def test_canonical_bytes_are_those_of_rfc_8785(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(st.integers(0, 21 * 10**14), st.binary(max_size=9), st.sets(st.sampled_from("abcdeéж")), st.booleans())
def test_a_record_reads_back_from_its_bytes_and_from_no_other_spelling(amount, data, names, has_note):
    record = sample(amount=amount, data=data, names=tuple(sorted(names)), note="é" if has_note else None)
    written = record.to_bytes()
    assert written == rfc8785.dumps(json.loads(written))
    assert Sample.from_bytes(written) == record
    for other in (
        b" " + written,
        written + b"\n",
        written.replace(b":", b": ", 1),
        json.dumps(json.loads(written)).encode(),
    ):
        if other != written:
            with refuses("RECORD_NOT_CANONICAL"):
                Sample.from_bytes(other)


def test_keys_in_another_order_are_another_spelling():
    written = sample().to_bytes()
    turned = json.dumps(dict(reversed(json.loads(written).items())), separators=(",", ":")).encode()
    with refuses("RECORD_NOT_CANONICAL") as caught:
        Sample.from_bytes(turned)
    assert "byte 2" in str(caught.error)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "5"),
        ("amount", 5.0),
        ("amount", True),
        ("data", "01F"),
        ("data", "01FF"),
        ("data", "01 ff"),
        ("data", "zz"),
        ("names", ["b", "a"]),
        ("names", ["a", "a"]),
        ("names", "ab"),
        ("note", 5),
        ("extra", 1),
    ],
)
def test_a_record_takes_no_value_of_another_shape(field, value):
    tree = json.loads(sample().to_bytes()) | {field: value}
    with pytest.raises(CustodyError) as caught:
        Sample.from_bytes(canonical(tree))
    assert caught.value.code in {"RECORD_INVALID", "AMOUNT_INVALID"}
    assert caught.value.advice()


@pytest.mark.parametrize("missing", ["amount", "data", "names", "note"])
def test_a_record_has_all_its_fields(missing):
    tree = json.loads(sample().to_bytes())
    del tree[missing]
    with refuses("RECORD_INVALID") as caught:
        Sample.from_bytes(canonical(tree))
    assert missing in str(caught.error)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"1", b"{", b'"x"', b"\xff", b"{}", b"NaN", b"[" * 10_000])
def test_what_is_no_record_is_refused(data):
    with refuses("RECORD_INVALID"):
        Sample.from_bytes(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_by_name(data):
    with refuses("RECORD_INVALID"):
        Sample.from_bytes(data)


def test_a_key_that_stands_twice_is_refused():
    written = sample().to_bytes()
    with refuses("RECORD_NOT_CANONICAL"):
        Sample.from_bytes(b'{"amount":7,' + written[1:])


@pytest.mark.parametrize("data", [b"\x00" * 10, b"\x00" * 40_000], ids=["small", "large"])
def test_what_is_spelled_otherwise_is_told_with_the_place_where_it_differs(data):
    written = sample(data=data).to_bytes()
    for at in (1, len(written) // 2, len(written) - 1, len(written)):
        with refuses("RECORD_NOT_CANONICAL" if written[at : at + 1] != b"0" else "RECORD_INVALID") as caught:
            Sample.from_bytes(written[:at] + b" " + written[at:])
        assert getattr(caught.error, "at", at) == at


@pytest.mark.parametrize("extra", [{"zzz": "x" * 100_000}, {"a": 0, "zzz": "x" * 100_000}])
def test_a_large_record_with_a_field_that_is_not_known_is_refused_by_its_spelling(extra):
    with refuses("RECORD_NOT_CANONICAL"):
        Sample.from_bytes(canonical(json.loads(sample().to_bytes()) | extra))


@given(st.lists(plain_text, max_size=5), plain_text)
def test_large_records_are_written_again_as_they_are_written(names, note):
    made = sample(data=bytes(20_000), names=tuple(sorted(set(names))), note=note)
    assert made._written_again() == made.to_bytes() == rfc8785.dumps(json.loads(made.to_bytes()))


@every_record
def test_every_list_of_a_record_ends_at_its_first_wrong_element(record):
    def lists(schema: Any) -> typing.Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            if str(schema.get("type")) in {"tuple", "list"}:
                yield schema
            for name, each in schema.items():
                if name not in {"serialization", "metadata"}:
                    yield from lists(each)
        elif isinstance(schema, list | tuple):
            for each in schema:
                yield from lists(each)

    assert all(each.get("fail_fast") for each in lists(record.__pydantic_core_schema__))


def test_a_refusal_does_not_repeat_what_stood_in_the_input():
    private = "cVpPVruEDdmutPzisEsYvtST1usBR3ntr8pXSyt6D2YYqXRyPcFW"
    for tree in ({private: 1}, {"amount": private}, {"note": [private]}, {"data": private}):
        with pytest.raises(CustodyError) as caught:
            Sample.from_bytes(canonical(json.loads(sample().to_bytes()) | tree))
        assert private not in str(caught.value)
        assert private not in repr(caught.value)
        assert caught.value.__cause__ is None


# --- digests ----------------------------------------------------------------------------------------------------------


def test_a_digest_is_a_tagged_hash_under_the_kind():
    assert sample().digest() == tagged_hash("custody/sample-of-this-test/v1", sample().to_bytes())
    # BIP 340: the hash of the tag, twice, then the data.
    tag = hashlib.sha256(b"custody/sample-of-this-test/v1").digest()
    assert sample().digest() == hashlib.sha256(tag + tag + sample().to_bytes()).digest()


def test_two_kinds_with_the_same_bytes_have_different_digests():
    class Other(Sample):
        kind: ClassVar[str] = "other-of-this-test"

    assert Other(**sample().model_dump()).to_bytes() == sample().to_bytes()
    assert Other(**sample().model_dump()).digest() != sample().digest()


class SampleFile(FileRecord):
    kind: ClassVar[str] = "sample-file-of-this-test"

    amount: Sat


def test_a_file_says_first_what_it_is_and_its_digest_covers_that():
    made = SampleFile(amount=5)
    assert made.to_bytes() == b'{"_type":"custody/sample-file-of-this-test/v1","amount":5}'
    assert made.digest() == tagged_hash("custody/sample-file-of-this-test/v1", made.to_bytes())
    assert SampleFile.from_bytes(made.to_bytes()) == made


@pytest.mark.parametrize(
    "data",
    [
        b'{"_type":"custody/sample-of-this-test/v1","amount":5}',
        b'{"_type":"custody/sample-file-of-this-test/v2","amount":5}',
        b'{"_type":5,"amount":5}',
    ],
    ids=["another kind", "another version", "a number"],
)
def test_a_file_that_says_something_else_is_refused(data):
    with refuses("RECORD_INVALID"):
        SampleFile.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [b'{"amount":5}', b'{"_type":"","amount":5}', b'{"amount":5,"type":"custody/sample-file-of-this-test/v1"}'],
    ids=["nothing", "an empty text", "in another field"],
)
def test_a_file_that_does_not_say_what_it_is_is_refused(data):
    with refuses("RECORD_NOT_CANONICAL"):
        SampleFile.from_bytes(data)


@pytest.mark.parametrize("record", FileRecord.__subclasses__(), ids=lambda each: each.__name__)
def test_nothing_in_a_file_sorts_before_what_it_is(record):
    assert min(field.alias or name for name, field in record.model_fields.items()) == "_type"


def test_a_record_does_not_change():
    with pytest.raises(ValidationError):
        sample().amount = 6


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "Ministry of Finance", "Ақтөбе", "счёт № 17", "a" * MAX_TEXT, "Zürich", "数字", "\u0915\u094d"]
)
def test_words_people_write_pass(text):
    assert check_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31m",
        "\u202eevil",
        "\u2066x\u2069",
        "a\nb",
        "a\tb",
        "\x00",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "\u2028",
        "\u00a0x",
        "a\u3000b",
        "\ue000",
        "\ud800",
        "\U000e0041",
        "[bold]",
        "<b>",
        "e\u0301",
        "\ufb01 ".strip() + "\u200d",
        " a",
        "a ",
        "a" * (MAX_TEXT + 1),
    ],
)
def test_text_that_could_lie_on_a_screen_is_refused(text):
    with refuses("TEXT_FORBIDDEN"):
        check_text(text)


@given(st.text(max_size=MAX_TEXT))
def test_text_that_passes_prints_as_it_is(text):
    if is_forbidden(text):
        with refuses("TEXT_FORBIDDEN"):
            check_text(text)
    else:
        assert text == "" or text.isprintable()


def is_forbidden(text: str) -> bool:
    try:
        check_text(text)
    except TextForbidden:
        return True
    return False


# --- every record there is --------------------------------------------------------------------------------------------


def test_there_are_records_to_look_at():
    assert len(LEAVES) > 30


def test_no_two_records_share_a_kind():
    owners: dict[str, type[Record]] = {}
    for record in LEAVES:
        assert owners.setdefault(record.kind, record) is record, f"{record} and {owners[record.kind]}"


@every_record
def test_a_record_has_a_kind_and_plain_field_names(record):
    assert record.kind.replace("-", "").isalnum()
    assert record.kind == record.kind.lower()
    assert all(name.isascii() for name in record.model_fields)
    assert record.__doc__
    config = record.model_config
    assert (config["frozen"], config["strict"], config["extra"], config["hide_input_in_errors"]) == (
        True,
        True,
        "forbid",
        True,
    )


def problems(annotation: Any, metadata: tuple[object, ...], where: str) -> list[str]:
    """What in an annotation could hold a number without ends, or something without one spelling."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return problems(args[0], (*metadata, *args[1:]), where)
    if origin in (Union, types.UnionType):
        return [problem for each in args for problem in problems(each, metadata, where)]
    if origin is tuple and args[1:] == (Ellipsis,):
        return problems(args[0], (), f"{where}[]")
    if annotation in (int, bytes) and not metadata:
        return [f"{where}: a bare {annotation.__name__}"]
    is_plain = isinstance(annotation, type) and issubclass(annotation, int | str | bytes | bool | Record | type(None))
    return [] if is_plain or origin is typing.Literal else [f"{where}: {annotation} is no type for a record"]


@every_record
def test_a_record_holds_nothing_unbounded_and_nothing_of_two_spellings(record):
    found = [
        each
        for name, field in record.model_fields.items()
        for each in problems(field.annotation, tuple(field.metadata), f"{record.__name__}.{name}")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("annotation", "is_fine"),
    [
        (int, False),
        (float, False),
        (set[int], False),
        (dict[str, int], False),
        (tuple[int, ...], False),
        (bytes | None, False),
        (tuple[Digest, ...], True),
        (Count | None, True),
        (Annotated[int, Field(ge=0, le=5)], True),
        (bool, True),
    ],
)
def test_the_walk_finds_what_it_looks_for(annotation, is_fine):
    assert (problems(annotation, (), "here") == []) is is_fine


# --- copies -----------------------------------------------------------------------------------------------------------


class Remembering(Record):
    kind: ClassVar[str] = "remembering-sample-of-this-test"

    amount: Sat

    @functools.cached_property
    def doubled(self) -> int:
        return 2 * self.amount


@pytest.mark.parametrize("is_deep", [False, True])
def test_an_edited_copy_forgets_what_was_worked_out_from_the_original(is_deep):
    record = Remembering(amount=5)
    assert record.doubled == 10
    assert record.model_copy(update={"amount": 7}, deep=is_deep).doubled == 14
    assert record == Remembering(amount=5)
