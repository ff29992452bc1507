"""Hostile archives: pickles where a scanner does not look, or sees another file than PyTorch."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib

import torch

from . import assembler as a
from .corpus import case
from .corpus_streams import Runs

STATE = {"weight": torch.zeros(3)}


def hostile(name, about, loader="torch"):
    return case(name, about, hostile=True, loader=loader)


def saved(content, **options):
    """What ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def evil(mark):
    return {**STATE, "x": Runs(os.system, f"touch '{mark}'")}


def members(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return [(info.filename, file.read(info)) for info in file.infolist()]


def zipped(content, method=zipfile.ZIP_STORED):
    """An archive without zip64 records; two members may have one name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in content:
            archive.writestr(name, data)
    return file.getvalue()


def taken_apart(archive):
    """Members, central directory and end records of an archive."""
    end = archive.rindex(b"PK\x05\x06")
    size, offset = struct.unpack("<LL", archive[end + 12 : end + 20])
    return archive[:offset], archive[offset : offset + size], archive[offset + size :]


def moved(directory, by):
    """A central directory whose members lie elsewhere."""
    result, position = b"", 0
    while position < len(directory):
        lengths = struct.unpack("<HHH", directory[position + 28 : position + 34])
        end = position + 46 + sum(lengths)
        (offset,) = struct.unpack("<L", directory[position + 42 : position + 46])
        entry = directory[position:end]
        result += entry[:42] + struct.pack("<L", offset + by) + entry[46:]
        position = end
    return result


@hostile("plain.bin", "os.system in a checkpoint")
def _(path, mark):
    return saved(evil(mark))


@hostile("state_in_legacy.bin", "os.system in a checkpoint of the format before 1.6")
def _(path, mark):
    return saved(evil(mark), _use_new_zipfile_serialization=False)


@hostile("renamed.safetensors", "a checkpoint by the name of a safetensors file")
def _(path, mark):
    return saved(evil(mark))


@hostile("fifth_stream.bin", "the last stream of a legacy file, behind an odd number")
def _(path, mark):
    import pickletools

    good = saved(STATE, _use_new_zipfile_serialization=False)
    file, ends = io.BytesIO(good), []
    for _ in range(5):
        list(pickletools.genops(file))
        ends.append(file.tell())
    payload = b"\x80\x02I0x1\n0" + a.shell(mark) + b"0]."
    return good[: ends[3]] + payload + good[ends[4] :]


@hostile("odd_magic.bin", "in place of the magic number of a legacy file")
def _(path, mark):
    good = saved(STATE, _use_new_zipfile_serialization=False)
    return a.stream(a.shell(mark), b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", protocol=2) + good[15:]


@hostile("two_pickles.bin", "two members of one name")
def _(path, mark):
    (first, good), *rest = members(saved(STATE))
    return zipped([(first, good), *rest, (first, dict(members(saved(evil(mark))))[first])])


@hostile("other_case.bin", "archive/DATA.PKL, which PyTorch opens too")
def _(path, mark):
    (first, data), *rest = members(saved(evil(mark)))
    return zipped([(first.replace("data.pkl", "DATA.PKL"), data), *rest])


@hostile("second_directory.bin", "a second directory, which only PyTorch sees")
def _(path, mark):
    seen_locals, seen_directory, end = taken_apart(zipped(members(saved(STATE))))
    real_locals, real_directory, _ = taken_apart(zipped(members(saved(evil(mark)))))
    assert len(seen_directory) == len(real_directory)
    end = end[:16] + struct.pack("<L", len(real_locals)) + end[20:]
    # zipfile adds to each offset what the directory seems to have been moved by.
    directory = moved(seen_directory, len(real_locals) - len(seen_locals))
    return real_locals + real_directory + seen_locals + directory + end


@hostile("second_zip64.bin", "a second zip64 record, which only PyTorch sees")
def _(path, mark):
    seen_locals, seen_directory, end = taken_apart(saved(STATE))
    real = saved(evil(mark))
    record = real.index(b"PK\x06\x06")
    before = real[: record + 56]
    offset = len(before) + len(seen_locals)
    zip64, locator, last = end[:56], end[56:76], end[76:]
    zip64 = zip64[:48] + struct.pack("<Q", offset)
    locator = locator[:8] + struct.pack("<Q", record) + locator[16:]
    last = last[:16] + struct.pack("<L", offset) + last[20:]
    return before + seen_locals + moved(seen_directory, len(before)) + zip64 + locator + last


@hostile("bad_checksum.bin", "a wrong checksum, which PyTorch does not mind")
def _(path, mark):
    archive = bytearray(saved(evil(mark)))
    content = dict(members(bytes(archive)))
    data = next(data for name, data in content.items() if name.endswith("data.pkl"))
    checksum = struct.pack("<L", zlib.crc32(data))
    return bytes(archive).replace(checksum, b"\1\2\3\4")


@hostile("deflated.bin", "a compressed archive")
def _(path, mark):
    return zipped(members(saved(evil(mark))), zipfile.ZIP_DEFLATED)


@hostile("odd_number.bin", "an odd number before the payload, in an archive")
def _(path, mark):
    content = members(saved(STATE))
    payload = b"\x80\x02I0x1\n0" + a.shell(mark) + b"0}."
    return zipped([(n, payload if n.endswith("data.pkl") else d) for n, d in content])


@hostile("tar.bin", "the tar archive of PyTorch 0.1")
def _(path, mark):
    file = io.BytesIO()
    none = pickle.dumps(0, 2)
    parts = {"storages": none + pickle.dumps([], 2), "tensors": none}
    parts["pickle"] = a.stream(a.shell(mark), protocol=2)
    parts["sys_info"] = pickle.dumps({}, 2)
    with tarfile.open(fileobj=file, mode="w:") as archive:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@hostile("zip_behind.pkl", "a pickle with a harmless zip archive behind it", "pickle")
def _(path, mark):
    return a.stream(a.shell(mark)) + zipped([("notes.txt", b"nothing")])


@hostile("in_zip.zip", "a pickle in a zip archive, by a harmless name", None)
def _(path, mark):
    return zipped([("weights", b"(" + f"S'touch {mark}'\n".encode() + b"ios\nsystem\n.")])


@hostile("in_zip_in_zip.zip", "a checkpoint in an archive in an archive", None)
def _(path, mark):
    return zipped([("a/inner.zip", zipped([("model.bin", saved(evil(mark)))]))])


@hostile("seven.bin", "a 7z archive by the name of a checkpoint", None)
def _(path, mark):
    return seven_zip("model.pkl", a.stream(a.shell(mark)))


def seven_zip(name, data):
    """A 7z archive of one member, not compressed (7zFormat.txt of the LZMA SDK)."""
    assert len(data) < 0x80
    size = bytes([len(data)])
    pack = b"\x06\x00\x01\x09" + size + b"\x00"
    crc = struct.pack("<L", zlib.crc32(data))
    coders = b"\x07\x0b\x01\x00\x01\x01\x00\x0c" + size + b"\x0a\x01" + crc + b"\x00"
    names = b"\x00" + name.encode("utf-16-le") + b"\x00\x00"
    files = b"\x05\x01\x11" + bytes([len(names)]) + names + b"\x00"
    header = b"\x01\x04" + pack + coders + b"\x00" + files + b"\x00"
    start = struct.pack("<QQL", len(data), len(header), zlib.crc32(header))
    return (
        b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<L", zlib.crc32(start)) + start + data + header
    )
