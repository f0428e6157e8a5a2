"""What the bytes of a record are, and what its digest is.

A record is a frozen model whose bytes are RFC 8785 JSON with ASCII keys. It is read only from bytes, and reading
encodes it again and compares, so two spellings of one record do not exist. Its digest is a tagged SHA-256 (BIP 340) of
those bytes under `custody/<kind>/v1`.

A record that travels as a file of its own says first what it is: a `FileRecord`. A signed one need not, since its
envelope does (`custody.envelope`).

Bytes stand in records as lower-case hexadecimal. There are no floats, sets or dates: sorted tuples, integers in range,
Unix seconds. Text is one type, `Text`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidationError,
    field_validator,
)
from pydantic_core import CoreSchema, SchemaValidator, to_json
from pydantic_core.core_schema import with_default_schema

from custody.bounds import FREE, LimitExceeded, refuse_costly_json
from custody.errors import InvalidInput

MAX_TEXT: Final = 200
MAX_REASON: Final = 200
"""Characters of what a foreign program said, as far as it is kept."""
MAX_RECORD: Final = 64 * 1024 * 1024


class RecordInvalid(InvalidInput, code="RECORD_INVALID"):
    """Bytes that are not a record of the kind expected."""

    message = "not a valid {kind} record: {where}: {problem}"
    hint = "Get the file again from where it was made; do not edit records by hand."
    kind: str
    where: str
    problem: str


class RecordNotCanonical(InvalidInput, code="RECORD_NOT_CANONICAL"):
    """A record spelled in another way than the one way."""

    message = "this {kind} record is not in canonical form (RFC 8785): it differs at byte {at}"
    hint = "Get the file again from where it was made; an editor may have re-indented it."
    kind: str
    at: int


class TextForbidden(InvalidInput, code="TEXT_FORBIDDEN"):
    """Text that could lie on a screen."""

    message = "text holds {what} at position {at}"
    hint = (
        "Use plain letters, digits and punctuation, with one blank between words. Nothing that is not seen: no "
        "control, direction or joining characters, no variation selectors; and no square or angle brackets."
    )
    what: str
    at: int


class SecretMaterial(InvalidInput, code="SECRET_MATERIAL"):
    """A private key, seed or mnemonic where only public things belong. Never carries what it found."""

    message = "the {where} holds {what}; private material never enters this program"
    hint = (
        "Remove it, and treat the key as exposed if this machine is not the signer's own. "
        "Give public keys only: an xpub with its origin."
    )
    where: str
    what: str


def tagged_hash(tag: str, data: bytes) -> bytes:
    """SHA-256 of `data` under `tag`, 32 bytes. Source: BIP 340, tagged hashes."""
    return hashlib.sha256(_tag_prefix(tag) + data).digest()


@functools.lru_cache(maxsize=256)
def _tag_prefix(tag: str) -> bytes:
    return hashlib.sha256(tag.encode("ascii")).digest() * 2


def digest_given(given: object, what: str) -> bytes:
    """`given` itself, when it is bytes: an id or a digest, `what`, is asked for.

    Raises:
        TypeError: it is not. A record in the place of its digest is a mistake of the program, and is told how to mend.
    """
    if isinstance(given, bytes):
        return given
    kind = type(given).__name__
    raise TypeError(f"{what} is asked for as its 32 bytes, and a {kind} was given{_instead(given)}")


def _instead(given: object) -> str:
    """What to give in the place of `given`."""
    if isinstance(given, str):
        return ": read hexadecimal digits with bytes.fromhex"
    # Nearest first: a draft's own digest, say, is not the id of the transfer that it makes.
    for name in ("transfer_id", "transfer", "id"):
        if isinstance(getattr(given, name, None), bytes):
            return f": give its .{name}"
    return ": give its .digest()" if callable(getattr(given, "digest", None)) else ""


_MARKUP: Final = frozenset("[]<>")
_LIKE_BRACKETS: Final = frozenset(
    "\uff3b\uff3d\uff1c\uff1e\ufe47\ufe48\ufe64\ufe65"  # the same, wide, small or upright
    "\u2045\u2046\u27e6\u27e7\u301a\u301b\u3010\u3011"  # brackets with quill, white and black brackets
    "\u231c\u231d\u231e\u231f\u23a1\u23a3\u23a4\u23a6\u2e22\u2e23\u2e24\u2e25"  # corners and halves
)
"""Taken for a bracket. Screens put what people wrote into brackets, so that it cannot pass for a row of theirs."""
_UNSEEN: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"  # joiner, fillers, vowels, selectors
    "\u2800\u303f\ufffc\U0001d159\U0001da7f\U0001da80\U00016fe4"  # not ignorable, and drawn as nothing all the same
) | {chr(each) for part in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for each in part}
"""What is drawn as nothing: Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties) less what `_fault` refuses by
its category, and blanks that are called letters, marks and symbols."""
_MARKS: Final = frozenset({"Mn", "Me"})
_MAX_MARKS: Final = 4
"""Marks over one letter: more draw over the rows above and below (UTS 39, 5.4)."""


@functools.lru_cache(maxsize=1024)
def check_text(text: str) -> str:
    """`text` itself when it cannot mislead whoever reads it on a terminal or a page.

    What names in Kazakh, Russian, English, Chinese, Arabic and Hebrew need is let in. Zero-width joiners are not:
    nothing may stand in a text that nobody sees.

    Raises:
        TextForbidden: not NFC, longer than 200 characters, blank at either end, two blanks in a row, or holding
            control, format, direction, surrogate, private or unassigned characters, line breaks, odd spaces, what is
            not drawn, marks without a letter or too many on one, or markup brackets and what is taken for them.
    """
    if len(text) > MAX_TEXT:
        raise TextForbidden(what=f"more than {MAX_TEXT} characters", at=MAX_TEXT)
    if text != text.strip():
        raise TextForbidden(what="a blank at its start or end", at=0)
    # Two blanks keep the columns of a screen apart: text with as many could draw some (THREATS F22).
    if (at := text.find("  ")) >= 0:
        raise TextForbidden(what="two blanks in a row", at=at + 1)
    if text.isascii() and text.isprintable() and _MARKUP.isdisjoint(text):
        return text
    for at, character in enumerate(text):
        if (what := _fault(character)) is not None:
            raise TextForbidden(what=what, at=at)
    if not unicodedata.is_normalized("NFC", text):
        raise TextForbidden(what="a character that is not in normal form (NFC)", at=0)
    _check_marks(text)
    return text


@functools.lru_cache(maxsize=4096)
def _fault(character: str) -> str | None:
    """What is wrong with a character wherever it stands."""
    category = unicodedata.category(character)
    if character in _MARKUP:
        return f"the markup character {character!r}"
    # Cc, Cf, Cs, Co, Cn, Zl, Zp: escape codes, right-to-left overrides, joiners and line breaks (THREATS F13).
    is_odd = category[0] == "C" or category in {"Zl", "Zp"} or (category == "Zs" and character != " ")
    is_refused = is_odd or character in _UNSEEN or character in _LIKE_BRACKETS
    return f"the character U+{ord(character):04X}" if is_refused else None


@functools.lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in _MARKS


def _check_marks(text: str) -> None:
    """Marks stand on a letter, each once and few: on a blank they are next to nothing, in heaps they cover the rest."""
    before, count = " ", 0
    for at, character in enumerate(text):
        count = count + 1 if _is_mark(character) else 0
        if count and (before in {" ", character} or count > _MAX_MARKS):
            raise TextForbidden(what=f"the mark U+{ord(character):04X} without a letter of its own", at=at)
        before = character


def plain_reason(reason: str) -> str:
    """What a node or a driver said, fit to be kept and shown: printable ASCII, at most 200 characters."""
    return ascii(reason[:MAX_REASON])[1:-1][:MAX_REASON]


def _from_hex(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, Record):
        return digest_given(value, "a digest")
    if not isinstance(value, str):
        raise ValueError("expected lower-case hexadecimal")  # noqa: TRY004 - pydantic reports ValueError with its place
    decoded = bytes.fromhex(value)
    if decoded.hex() != value:
        raise ValueError("expected lower-case hexadecimal without spaces")
    return decoded


def _of_size(size: int) -> AfterValidator:
    def check(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"expected {size} bytes")
        return value

    return AfterValidator(check)


def _sorted_once(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if any(a >= b for a, b in itertools.pairwise(items)):
        raise ValueError("expected in ascending order, each once")
    return items


Text = Annotated[str, AfterValidator(check_text)]
"""Words a person wrote: safe to show anywhere."""
HexBytes = Annotated[bytes, BeforeValidator(_from_hex), PlainSerializer(bytes.hex, return_type=str)]
"""Bytes of any length; lower-case hexadecimal in the record."""
Digest = Annotated[HexBytes, _of_size(32)]
"""32 bytes: a digest, a block hash, an outpoint's txid (all in internal byte order)."""
Fingerprint = Annotated[HexBytes, _of_size(4)]
"""First four bytes of the HASH160 of a BIP 32 public key."""
SORTED: Final = AfterValidator(_sorted_once)
"""Add to a tuple's annotation where the record has one order: `Annotated[tuple[Text, ...], SORTED]`."""


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of JSON data that has ASCII keys and no floats."""
    return _encode(value).encode("utf-8")


_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


_UNSHOWN: Final = {
    "extra_forbidden": "it has a field that is not known here",
    "union_tag_invalid": "its type is none of those known here",
}
"""Errors of pydantic whose text or place repeats what stood in the input: a name or a tag that somebody else chose."""


def _first_error_only(schema: Any) -> None:  # noqa: ANN401 - a tree of pydantic's
    """Have every list in `schema` end at its first wrong element: each error takes a kilobyte."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "tuple":
        schema["fail_fast"] = True
    _first_error_only(schema.get("schema"))
    for name in ("fields", "choices", "items_schema", "definitions"):
        parts = schema.get(name, ())
        for each in parts.values() if isinstance(parts, dict) else parts:
            _first_error_only(each)


R = TypeVar("R", bound="Record")


class Record(BaseModel, frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, defer_build=True):
    """Something written, signed or sent. Subclasses set `kind`; fields are its wire names.

    A kind is made ready by pydantic when it is first used: a program loads some eighty and reads a few.
    """

    kind: ClassVar[str]

    def to_bytes(self) -> bytes:
        """The one spelling of this record."""
        return canonical(self.model_dump(mode="json"))

    def digest(self) -> bytes:
        """32 bytes that name this record: tagged SHA-256 of `to_bytes()` under `custody/<kind>/v1`."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        return tagged_hash(f"custody/{self.kind}/v1", self.to_bytes())

    def __copy__(self) -> Self:
        # `model_copy(update=...)` starts here: what was worked out from the old fields must not speak for the new ones.
        return _only_fields(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return _only_fields(super().__deepcopy__(memo))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        schema = handler(source)
        _first_error_only(schema)
        return schema

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a record.

        Raises:
            RecordInvalid: missing, unknown, wrong or out-of-range fields.
            RecordNotCanonical: another spelling of the same record.
            LimitExceeded: it is too large, or would cost more to read than a record of its size does.
            TextForbidden, AmountInvalid, AmountRange, IndexRange: by the field's type.
        """
        return cls._read(data, None)

    @classmethod
    def _read(cls, data: bytes, context: object) -> Self:
        """As `from_bytes`, with a context for the record's own validators."""
        if len(data) > MAX_RECORD:
            raise LimitExceeded(what=f"bytes of a {cls.kind} record", count=len(data), most=MAX_RECORD)
        record = cls._validated(data, context)
        encoded = record.to_bytes() if len(data) <= FREE else record._written_again()  # noqa: SLF001 - one of its own
        if encoded != data:
            raise RecordNotCanonical(kind=cls.kind, at=_first_difference(encoded, data))
        return record

    @classmethod
    def _validated(cls, data: bytes, context: object) -> Self:
        try:
            if len(data) <= FREE:
                return cls.model_validate_json(data, context=context)
            refuse_costly_json(data)
            # Each unknown field is an error that is kept until the last. Where there may be many they are passed over:
            # a record without them is spelled in another way, and that refuses them.
            return cast("Self", _reader_of_large(cls).validate_json(data, context=context, extra="ignore"))
        except ValidationError as error:
            # pydantic prints the input it refused, which may be secret: keep the place and the rule only.
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = [str(part) for part in first["loc"]]
            problem = _UNSHOWN.get(first["type"], first["msg"])
            if first["type"] == "extra_forbidden":
                place.pop()
            where = ".".join(place) or "record"
            raise RecordInvalid(kind=cls.kind, where=where[:120], problem=problem[:120]) from None

    def _written_again(self) -> bytes:
        """`to_bytes` by the encoder that is faster where texts are long. It leaves fields in the order it finds."""
        if type(self).to_bytes is not Record.to_bytes:
            return self.to_bytes()
        return to_json(_sorted(self.model_dump(mode="json")))


@functools.cache
def _reader_of_large(record: type[Record]) -> SchemaValidator:
    """What reads `record` and ends at the first field that is missing: such an error keeps a copy of all the others."""
    record.model_rebuild()
    schema = _ended_by_missing(record.__pydantic_core_schema__, record.kind)
    # Or the readers would be taken that the records have already, and with them what a missing field is there.
    return SchemaValidator(schema, _use_prebuilt=False)


def _ended_by_missing(schema: Any, kind: str) -> Any:  # noqa: ANN401 - a tree of pydantic's
    if not isinstance(schema, dict):
        return schema
    changed = dict(schema)
    for name in ("schema", "items_schema", "choices", "definitions"):
        part = schema.get(name)
        if isinstance(part, list):
            changed[name] = [_ended_by_missing(each, kind) for each in part]
        elif name == "choices" and isinstance(part, dict):
            changed[name] = {tag: _ended_by_missing(each, kind) for tag, each in part.items()}
        elif part is not None:
            changed[name] = _ended_by_missing(part, kind)
    if "fields" in schema:
        changed["fields"] = {name: _required(name, each, kind) for name, each in schema["fields"].items()}
    return changed


def _required(name: str, field: Any, kind: str) -> Any:  # noqa: ANN401 - a tree of pydantic's
    inner = _ended_by_missing(field["schema"], kind)
    if inner["type"] == "default":
        return field | {"schema": inner}

    def missing() -> None:
        raise RecordInvalid(kind=kind, where=name, problem="Field required")

    return field | {"schema": with_default_schema(inner, default_factory=missing)}


def _sorted(value: Any) -> Any:  # noqa: ANN401 - JSON data
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _first_difference(first: bytes, second: bytes) -> int:
    """Where two texts begin to differ; by halves, as byte by byte takes seconds where they are long."""
    low, high = 0, min(len(first), len(second))
    if first[:high] == second[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if first[low:middle] == second[low:middle] else (low, middle)
    return low


class FileRecord(Record, serialize_by_alias=True, validate_by_alias=True, validate_by_name=True):
    """A record that travels as a file of its own. Its first field, `_type`, says which kind: `custody/<kind>/v1`.

    The field is part of the record like any other: it stands in the bytes, and so under the digest. It sorts before
    every name in lower case, so that a file says what it is before anything else.
    """

    type: str = Field(default="", alias="_type", validate_default=True)
    """Nobody sets it: it is the kind's."""

    @field_validator("type")
    @classmethod
    def _says_its_kind(cls, value: str) -> str:
        expected = f"custody/{cls.kind}/v1"
        if value not in {"", expected}:
            raise ValueError(f"expected {expected}")
        return expected


_SMALL: Final = 64 * 1024
"""Bytes of a record up to which it is kept once it was read."""


@functools.lru_cache(maxsize=512)
def _read_small(record: type[R], data: bytes) -> R:
    return record.from_bytes(data)


def read(record: type[R], data: bytes) -> R:
    """The record in `data`, as `from_bytes` reads it. Small ones are read once: the steps of one transfer ask again.

    Raises:
        InvalidInput: as `Record.from_bytes`.
    """
    return _read_small(record, data) if len(data) <= _SMALL else record.from_bytes(data)


def _only_fields(copied: R) -> R:
    """A copy without the values that its original keeps beside its fields (`functools.cached_property`)."""
    for name in copied.__dict__.keys() - type(copied).model_fields.keys():
        del copied.__dict__[name]
    return copied
