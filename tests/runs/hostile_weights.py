"""Weight files that are damaged, of something else, or meant to do harm."""

import io
import json
import os
import pickle
import struct
import zipfile

import torch
from safetensors.torch import save_file

MARK = "hostile-code-has-run"


class Code:
    """What runs when a pickle is loaded without care."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (open, (str(self.folder / MARK), "w"))


def safetensors(header, data=b"", length=None):
    """The bytes of a .safetensors file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def saved(content, **more):
    """The bytes that torch writes."""
    file = io.BytesIO()
    torch.save(content, file, **more)
    return file.getvalue()


def zipped(names):
    """The bytes of a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return file.getvalue()


def headers():
    """{name: .safetensors file} with a header that lies."""
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    return {
        "header-too-long": safetensors({}, length=2**62),
        "header-negative": safetensors({}, length=2**64 - 1),
        "header-empty": safetensors(b""),
        "header-text": safetensors(b"hello world"),
        "header-deep": safetensors(deep),
        "header-deep-metadata": safetensors(b'{"__metadata__":' + deep + b"}"),
        "header-list": safetensors(b"[]"),
        "header-null": safetensors(b"null"),
        "header-latin": safetensors(b'{"\xff": 1}'),
        "header-cut": safetensors({"a": one})[:12],
        "length-cut": b"\x10\x00\x00",
        "offsets-overlap": safetensors({"a": one, "b": one}, b"\0" * 8),
        "offsets-beyond": safetensors({"a": {**one, "data_offsets": [0, 2**50]}}, b"\0" * 8),
        "offsets-backwards": safetensors({"a": {**one, "data_offsets": [8, 0]}}, b"\0" * 8),
        "offsets-hole": safetensors({"a": {**one, "data_offsets": [8, 16]}}, b"\0" * 16),
        "shape-huge": safetensors({"a": {**one, "shape": [2**40, 2**40]}}, b"\0" * 8),
        "shape-negative": safetensors({"a": {**one, "shape": [-2]}}, b"\0" * 8),
        "dtype-unknown": safetensors({"a": {**one, "dtype": "F7"}}, b"\0" * 8),
        "tensors-none": safetensors({}),
        "data-more": safetensors({"a": one}, b"\0" * 80),
    }


def pickles(folder, state):
    """{name: .pth file} of content that is no plain state_dict of this network."""
    first = next(iter(state))
    loop = {}
    loop["loop"] = loop
    return {
        "code": pickle.dumps(Code(folder)),
        "code-in-zip": saved({"state_dict": state, "code": Code(folder)}),
        "code-legacy": saved(Code(folder), _use_new_zipfile_serialization=False),
        "code-protocol-4": pickle.dumps({"a": Code(folder)}, protocol=4),
        "number": saved(5),
        "list": saved([1, 2]),
        "text": saved("weights"),
        "none": saved(None),
        "tensor-alone": saved(torch.zeros(3)),
        "empty-table": saved({}),
        "nested": saved({"state_dict": {"state_dict": {"state_dict": state}}}),
        "loop": saved(loop),
        "keys-numbers": saved(dict(enumerate(state.values()))),
        "values-lists": saved(dict.fromkeys(state, [[0.0, 1.0]])),
        "whole-network": saved(torch.nn.Linear(2, 2)),
        "protocol-5": pickle.dumps({"a": 1}, protocol=5),
        "meta": saved({name: value.to("meta") for name, value in state.items()}),
        "sparse": saved({**state, first: state[first].flatten(1).to_sparse()}),
        "expanded": saved({**state, first: torch.zeros(1).expand(10**12)}),
    }


def tensors(state):
    """{name: tensors} of other shapes, types and names than the network's."""
    first = next(iter(state))
    nan = state[first].clone()
    nan[0, 0, 0, 0] = float("nan")
    return {
        "nan": {**state, first: nan},
        "infinite": {**state, first: nan.nan_to_num(float("inf"))},
        "shapes": {name: value.flatten() for name, value in state.items()},
        "shape-of-one": {**state, first: torch.zeros(5, 5)},
        "shape-empty": {**state, first: torch.zeros(0)},
        "names": {f"x{name}": value for name, value in state.items()},
        "name-missing": {name: value for name, value in state.items() if name != first},
        "complex": {**state, first: state[first].to(torch.complex64)},
        "whole-numbers": {**state, first: state[first].to(torch.int64)},
        "booleans": {**state, first: state[first] > 0},
        "float8": {**state, first: state[first].to(torch.float8_e4m3fn)},
    }


def others():
    """{name: bytes} that are no weights at all."""
    return {
        "empty": b"",
        "one-byte": b"\0",
        "text": b"These are no weights.\n" * 100,
        "html": b"<!DOCTYPE html><title>404</title>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "zip-other": zipped({"hello.txt": "hello"}),
        "zip-bad-pickle": zipped({"a/data.pkl": b"\x80\x02X", "a/version": "3"}),
        "zip-cut": zipped({"hello.txt": "hello" * 99})[:50],
        "zeros": b"\0" * 4096,
        "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
        "gzip": b"\x1f\x8b\x08" + b"\0" * 64,
        "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
    }


def hostile_files(folder, state):
    """Writes all of them.

    Args:
        folder: where to.
        state: the weights of the network that the files are given to.

    Returns:
        {name: path}.
    """
    found = {}
    contents = [("safetensors", headers()), ("pth", pickles(folder, state)), ("pth", others())]
    contents.append(("safetensors", {f"{name}-named-so": one for name, one in others().items()}))
    whole = saved(state)
    contents.append(("pth", {f"cut-{part}": whole[: len(whole) * part // 9] for part in (1, 5, 8)}))
    for suffix, files in contents:
        for name, content in files.items():
            found[name] = folder / f"{name}.{suffix}"
            found[name].write_bytes(content)
    for name, table in tensors(state).items():
        found[name] = folder / f"{name}.safetensors"
        save_file(table, found[name])
        found[f"{name}-pth"] = folder / f"{name}.pth"
        torch.save(table, found[f"{name}-pth"])
    found |= special_files(folder)
    return found


def special_files(folder):
    """{name: path} of what is no regular file."""
    names = ("pipe", "folder", "device", "link-to-nothing", "link-to-itself", "nowhere")
    found = {name: folder / f"{name}.safetensors" for name in names}
    os.mkfifo(found["pipe"])
    found["folder"].mkdir()
    found["device"].symlink_to("/dev/zero")
    found["link-to-nothing"].symlink_to(folder / "gone")
    found["link-to-itself"].symlink_to(found["link-to-itself"])
    return found
