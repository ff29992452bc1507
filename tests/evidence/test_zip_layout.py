"""Archives that every reader reads alike pass; others do not."""

import contextlib
import io
import random
import struct
import zipfile

import pytest
import torch

from ngf_hub.evidence.zip_layout import ZipLayoutError, ends_like_zip, open_members

from .corpus_archives import moved, saved, taken_apart, zipped

CONTENT = [("a/data.pkl", b"x" * 300), ("a/b.txt", b"y"), ("a/empty", b"")]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_those_of_zipfile(method):
    members = open_members(zipped(CONTENT, method))
    assert [(m.name, m.head(1000)) for m in members] == CONTENT
    assert all(member.intact(member.head(1000)) for member in members)
    assert members[0].head(5) == b"xxxxx"


def test_what_torch_saves_passes():
    data = saved({"w": torch.zeros(5000), "h": torch.ones(3, dtype=torch.float16)})
    assert {m.name.split("/", 1)[1] for m in open_members(data)} >= {"data.pkl", "data/0", "data/1"}


def test_a_comment_is_allowed_and_what_follows_it_is_not():
    file = io.BytesIO(zipped(CONTENT))
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"a comment"
    assert len(open_members(file.getvalue())) == 3
    with pytest.raises(ZipLayoutError, match="follows the end"):
        open_members(file.getvalue() + b"more")


def test_zip64_records_and_streamed_members():
    file = io.BytesIO()

    class Unseekable(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return file.write(data)

    with zipfile.ZipFile(Unseekable(), "w") as archive:
        with archive.open("a", "w", force_zip64=True) as member:
            member.write(b"content")
        archive.writestr("b", b"more")
    assert [m.head(10) for m in open_members(file.getvalue())] == [b"content", b"more"]


def changed(data, at, form, value):
    end = data.rindex(b"PK\x05\x06")
    return data[: end + at] + struct.pack(form, value) + data[end + at + struct.calcsize(form) :]


GOOD = zipped(CONTENT)
SIZE, OFFSET = struct.unpack("<LL", GOOD[GOOD.rindex(b"PK\x05\x06") + 12 :][:8])
LOCALS, DIRECTORY, END = taken_apart(GOOD)
BAD = {
    "bytes in front": b"MZ" + GOOD,
    "bytes before the directory": LOCALS + b"gap" + DIRECTORY + END,
    "another offset": changed(GOOD, 16, "<L", OFFSET - 46),
    "another size": changed(GOOD, 12, "<L", SIZE - 1),
    "fewer members than stated": changed(changed(GOOD, 10, "<H", 4), 8, "<H", 4),
    "more members than stated": changed(changed(GOOD, 10, "<H", 2), 8, "<H", 2),
    "several disks": changed(GOOD, 4, "<H", 1),
    "no end": LOCALS + DIRECTORY,
    "a cut end": GOOD[:-1],
    "members that overlap": LOCALS + DIRECTORY[:56] + moved(DIRECTORY[56:], -20) + END,
    "another name in the member": GOOD.replace(b"a/data.pkl", b"a/date.pkl", 1),
    "two sizes": LOCALS
    + DIRECTORY.replace(struct.pack("<LL", 300, 300), struct.pack("<LL", 300, 200))
    + END,
}


@pytest.mark.parametrize("case", BAD)
def test_ambiguous_archives_are_refused(case):
    assert BAD[case] != GOOD
    with pytest.raises(ZipLayoutError):
        open_members(BAD[case])


def test_any_damage_is_survived():
    generator = random.Random(0)
    for data in (GOOD, zipped(CONTENT, zipfile.ZIP_DEFLATED), saved({"w": torch.zeros(3)})):
        for _ in range(700):
            damaged = bytearray(data)
            for _ in range(generator.randint(1, 3)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            with contextlib.suppress(ZipLayoutError):
                for member in open_members(bytes(damaged)):
                    member.head(100)


def test_ends():
    assert ends_like_zip(GOOD)
    assert ends_like_zip(b"\x80\x04N." + GOOD)
    assert not ends_like_zip(GOOD + b"x")
    assert not ends_like_zip(b"PK\x05\x06")
    assert not ends_like_zip(b"")
