"""Where keys come from, as PSBTs say it."""

import pytest

from custody.bitcoin.key_paths import KeyPath, KeyPaths, TapKeyPath, TapKeyPaths
from custody.units import HARDENED

G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
H = bytes.fromhex("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")
PATH = KeyPath(b"\xde\xad\xbe\xef", (48 + HARDENED, 1 + HARDENED, HARDENED, 2 + HARDENED, 0, 7))
LEAF = b"l" * 32


def test_a_key_path_gives_its_parts_and_its_field():
    assert PATH.fingerprint == b"\xde\xad\xbe\xef"
    assert PATH.path == (48 + HARDENED, 1 + HARDENED, HARDENED, 2 + HARDENED, 0, 7)
    assert str(PATH) == "deadbeef/48h/1h/0h/2h/0/7"
    assert repr(PATH) == "KeyPath(deadbeef/48h/1h/0h/2h/0/7)"
    assert KeyPath.of_field(bytes(PATH)) == PATH
    assert KeyPath(b"abcd", ()).path == ()


@pytest.mark.parametrize(("fingerprint", "path"), [(b"abc", ()), (b"abcde", ()), (b"abcd", (2**32,)), (b"abcd", (-1,))])
def test_a_key_path_that_fits_no_field_cannot_be_built(fingerprint: bytes, path: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"4 bytes|32 bits"):
        KeyPath(fingerprint, path)


def test_key_paths_read_from_a_file_are_a_tuple_of_key_paths():
    plain = ((G, PATH), (H, KeyPath(b"abcd", (1,))))
    read = KeyPaths.of_fields([(key, bytes(path)) for key, path in plain])
    assert read == plain
    assert plain == read
    assert hash(read) == hash(plain)
    assert len(read) == 2
    for _, path in (*read, read[0], read[-1], *read[:1], *reversed(read), *(read + plain), *sorted(read)):
        assert isinstance(path, KeyPath)
    assert dict(read)[H].path == (1,)
    assert not KeyPaths.of_fields(())


@pytest.mark.parametrize("leaf_hashes", [(), (LEAF,)])
def test_a_taproot_key_path_gives_its_parts_and_its_field(leaf_hashes: tuple[bytes, ...]):
    path = TapKeyPath.of(PATH, *leaf_hashes)
    assert path == bytes([len(leaf_hashes)]) + b"".join(leaf_hashes) + PATH
    assert path == TapKeyPath(PATH.fingerprint, PATH.path, *leaf_hashes) == TapKeyPath.of_field(bytes(path))
    assert (path.fingerprint, path.path, path.leaf_hashes) == (PATH.fingerprint, PATH.path, leaf_hashes)
    assert str(path) == str(PATH)
    assert repr(path) == f"TapKeyPath({PATH})"


@pytest.mark.parametrize("leaf_hashes", [(LEAF, LEAF), (LEAF[:-1],), (b"",)])
def test_a_taproot_key_path_that_fits_no_field_cannot_be_built(leaf_hashes: tuple[bytes, ...]):
    with pytest.raises(ValueError, match="one script"):
        TapKeyPath.of(PATH, *leaf_hashes)


def test_taproot_key_paths_read_from_a_file_are_taproot_key_paths():
    plain = ((G[1:], TapKeyPath.of(PATH, LEAF)), (H[1:], TapKeyPath(b"abcd", (1,))))
    read = TapKeyPaths.of_fields([(key, bytes(path)) for key, path in plain])
    assert read == plain
    for _, path in (*read, read[0], *read[:1]):
        assert isinstance(path, TapKeyPath)
    assert dict(read)[H[1:]].path == (1,)
