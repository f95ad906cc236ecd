"""Pickle streams made at test time: an assembler, seeded attacks of every class of bypass, and random streams.

Payloads are harmless: what would be called is `posix.system("true")` or its like, and nothing here ever loads them.
"""

import base64
import io
import random
from collections.abc import Callable
from typing import Final

DANGERS: Final = (
    ("posix", "system"),
    ("os", "popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("subprocess", "Popen"),
    ("runpy", "_run_code"),
    ("importlib", "import_module"),
    ("webbrowser", "open"),
    ("socket", "create_connection"),
    ("shutil", "rmtree"),
    ("pip", "main"),
    ("code", "InteractiveInterpreter"),
    ("ctypes", "CDLL"),
    ("pickle", "loads"),
    ("numpy.testing._private.utils", "runstring"),
    ("torch.hub", "load"),
    ("asyncio", "create_subprocess_shell"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
)


def text(words: str) -> bytes:
    """SHORT_BINUNICODE or BINUNICODE."""
    raw = words.encode()
    if len(raw) < 256:
        return b"\x8c" + bytes([len(raw)]) + raw
    return b"X" + len(raw).to_bytes(4, "little") + raw


def named(rng: random.Random, module: str, name: str) -> bytes:
    """An import, in one of the ways there are."""
    return rng.choice(
        (
            lambda: b"c" + module.encode() + b"\n" + name.encode() + b"\n",
            lambda: text(module) + text(name) + b"\x93",
            lambda: text(module) + b"\x94" + text(name) + b"\x94\x93",
            lambda: text(name) + b"q\x21" + b"0" + text(module) + b"h\x21\x93",
            lambda: b"V" + module.encode() + b"\nV" + name.encode() + b"\n\x93",
            lambda: b"S'" + module.encode() + b"'\nS'" + name.encode() + b"'\n\x93",
            lambda: text(name) + b"r\xf0\xf0\x00\x00" + b"0" + text(module) + b"j\xf0\xf0\x00\x00\x93",
            lambda: text(module) + b"2" + b"0" + text(name) + b"\x93",
        )
    )()


def noise(rng: random.Random) -> bytes:
    """Opcodes that leave the stack as it was, some of which a strict reader stumbles over."""
    parts = (
        b"N0",
        b"I0x10\n0",
        b"I01\n0",
        b"L5L\n0",
        b"]0",
        b"(1",
        b"K\x050",
        b"F1e3\n0",
        b"(lp7\n0",
        b"}(u0",
        b"\x8f0",
        b")0",
    )
    return b"".join(rng.choice(parts) for _ in range(rng.randrange(4)))


def call(rng: random.Random, module: str, name: str) -> bytes:
    """A call with one string, in one of the ways there are; the result lies on the stack."""
    what = named(rng, module, name)
    arg = rng.choice((text("true"), b"S'true'\n", b"Vtrue\n", b"U\x04true", b"T\x04\x00\x00\x00true"))
    plain = b"(S'true'\ni" + module.encode() + b"\n" + name.encode() + b"\n"
    return noise(rng) + rng.choice(
        (
            what + arg + b"\x85R",
            what + b"(" + arg + b"tR",
            b"(" + what + arg + b"o",
            plain,
            what + arg + b"\x85\x81",
            what + arg + b"\x85}\x92",
            what + b"(" + arg + b"l" + b"\x85R",
        )
    )


def proto(rng: random.Random) -> bytes:
    """The beginning of a stream."""
    return rng.choice(
        (b"", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00")
    )


Maker = Callable[[random.Random], bytes]


def _called(rng: random.Random) -> bytes:
    return proto(rng) + call(rng, *rng.choice(DANGERS)) + b"."


def _truncated(rng: random.Random) -> bytes:
    return proto(rng) + call(rng, *rng.choice(DANGERS)) + rng.choice((b"", b"N", b"(", b"h\xff", b"\xff"))


def _stacked(rng: random.Random) -> bytes:
    return b"\x80\x04K\x01." * rng.randrange(1, 4) + b"\x80\x04" + call(rng, *rng.choice(DANGERS)) + b"."


def _nested(rng: random.Random) -> bytes:
    inner = b"\x80\x04" + call(rng, *rng.choice(DANGERS)) + b"."
    shapes = (
        b"B" + len(inner).to_bytes(4, "little") + inner,
        text(base64.b64encode(inner).decode()),
        text(base64.urlsafe_b64encode(inner).decode()),
        text(inner.hex()),
        text(inner.hex().upper()),
        b"\x96" + len(inner).to_bytes(8, "little") + inner,
    )
    return b"\x80\x04](" + rng.choice(shapes) + b"e."


def _python2(rng: random.Random) -> bytes:
    module, name = rng.choice(
        (("__builtin__", "eval"), ("commands", "getoutput"), ("cPickle", "loads"), ("urllib2", "urlopen"))
    )
    return b"\x80\x02" + b"c" + module.encode() + b"\n" + name.encode() + b"\n" + b"U\x04true\x85R."


def _dotted(rng: random.Random) -> bytes:
    module, name = rng.choice(
        (
            ("numpy", "f2py.crackfortran.os.system"),
            ("sklearn.base", "BaseEstimator.__init__.__globals__.get"),
            ("collections", "OrderedDict.__class__.__subclasses__"),
            ("torch", "serialization.os.system"),
        )
    )
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + text("true") + b"\x85R."


def _extension(rng: random.Random) -> bytes:
    return b"\x80\x02" + rng.choice((b"\x82\x05", b"\x83\x05\x00", b"\x84\x05\x00\x00\x00")) + b"U\x04true\x85R."


def _persistent(rng: random.Random) -> bytes:
    return b"\x80\x02" + rng.choice((b"Pname\n", b"K\x01Q", text("x") + b"Q")) + b"."


def _misshapen(rng: random.Random) -> bytes:
    """Callables of the allow-list as no benign file calls them."""
    return (
        b"\x80\x04"
        + rng.choice(
            (
                b"c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R",
                b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85C\x01b\x87R",
                b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R",
                b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch.storage\n_load_from_bytes\ncbuiltins\nset\n"
                b"c_codecs\nencode\n" + text("x") + text("latin1") + b"\x86R\x85}tR",
                b"ccopyreg\n_reconstructor\n(cposixpath\njoin\ncbuiltins\nobject\nNtR",
            )
        )
        + b"."
    )


def _built(rng: random.Random) -> bytes:
    target = rng.choice((b"csklearn.base\nBaseEstimator\n", b"cnumpy\nndarray\n", b"c__main__\nModel\n"))
    return b"\x80\x02" + target + b"}U\x08__call__U\x04trues" + b"b."


def _filled(rng: random.Random) -> bytes:
    ways = (b"(K\x01e", b"K\x01a", b"(K\x01K\x02u", b"(K\x01\x90", b"K\x01K\x02s")
    return b"\x80\x04csklearn.tree._classes\nDecisionTreeClassifier\n)\x81" + rng.choice(ways) + b"."


def _exhausting(rng: random.Random) -> bytes:
    doubled = b"K\x01K\x01\x86" + b"2\x86" * 40
    return (
        b"\x80\x02"
        + rng.choice(
            (b"Nr\xff\xff\xff\x7f", b"I" + b"9" * 5000 + b"\n", doubled, b"\x8b\x00\x00\x02\x00" + b"\x01" * 0x20000)
        )
        + b"."
    )


def _trailing(rng: random.Random) -> bytes:
    return b"\x80\x04K\x01." + rng.randbytes(rng.randrange(1, 40)) + b"\xff"


def _called_later(rng: random.Random) -> bytes:
    """A value is called: what runs is only known while it loads."""
    del rng
    return b"\x80\x04cbuiltins\nset\n]\x85RK\x01\x85R."


ATTACKS: Final[dict[str, tuple[Maker, bool]]] = {
    "called": (_called, True),
    "truncated": (_truncated, True),
    "stacked": (_stacked, True),
    "nested": (_nested, True),
    "python 2": (_python2, True),
    "dotted": (_dotted, True),
    "extension": (_extension, False),
    "persistent id": (_persistent, False),
    "misshapen": (_misshapen, False),
    "built": (_built, False),
    "filled": (_filled, False),
    "exhausting": (_exhausting, False),
    "trailing": (_trailing, False),
    "called later": (_called_later, False),
}
"""Every class of bypass, and whether it is surely malicious rather than suspicious."""


def stream(rng: random.Random) -> bytes:
    """A random stream: opcodes with arguments that mostly fit, so that many of them go far."""
    out = io.BytesIO()
    out.write(rng.choice((b"", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")))
    for _ in range(rng.randrange(1, 60)):
        out.write(rng.choice(_PARTS)(rng))
    out.write(rng.choice((b".", b".", b".", b"", b"." + rng.randbytes(3), b".\x80\x04N.")))
    data = bytearray(out.getvalue())
    for _ in range(rng.choice((0, 0, 0, 1, 2, 5))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _import(rng: random.Random) -> bytes:
    return named(
        rng, rng.choice(("alpha", "beta.gamma", "__builtin__", "copy_reg")), rng.choice(("one", "two", "reduce", "a.b"))
    )


def _words(rng: random.Random) -> bytes:
    return b"".join(text(f"w{number}") + b"\x94" for number in range(rng.randrange(9)))


_WORDS: Final = ("alpha", "one", "ü", "", "x" * 70, "beta.gamma", "two")
_PARTS: Final[tuple[Maker, ...]] = (
    _import,
    _import,
    lambda rng: text(rng.choice(_WORDS)),
    lambda rng: text(rng.choice(_WORDS)) + b"\x94",
    lambda rng: b"(" + b"".join(text(f"w{n}") + b"\x94" + b"K" + bytes([n]) for n in range(rng.randrange(12))),
    lambda rng: b"](" + b"".join(b"G" + rng.randbytes(8) for _ in range(rng.randrange(9))) + b"e",
    lambda rng: (
        b"](" + b"".join(text(f"w{n}") + b"\x94" for n in range(rng.randrange(9))) + rng.choice((b"e", b"t", b"\x90"))
    ),
    lambda rng: b"}(" + b"".join(text(f"k{n}") + b"\x94M" + rng.randbytes(2) for n in range(rng.randrange(9))) + b"u",
    lambda rng: b"K" + rng.randbytes(1),
    lambda rng: b"J" + rng.randbytes(4),
    lambda rng: rng.choice((b"I0x10\n", b"I 7 \n", b"I01\n", b"L12L\n", b"I1_0\n", b"I-0b11\n", b"F1.5\n", b"Finf\n")),
    lambda rng: b"\x8a" + bytes([rng.randrange(9)]) + rng.randbytes(8),
    lambda rng: rng.choice((b"S'a'\n", b'S"b"\n', b"S'\\x41'\n", b"Vab\\u0041\n", b"U\x02ab", b"T\x01\x00\x00\x00a")),
    lambda rng: rng.choice((b"N", b"\x88", b"\x89", b"]", b"}", b")", b"\x8f", b"(", b"(", b"(")),
    lambda rng: rng.choice(
        (b"0", b"1", b"2", b"a", b"e", b"s", b"u", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"\x90", b"\x91")
    ),
    lambda rng: rng.choice((b"R", b"R", b"b", b"o", b"\x81", b"\x92", b"\x93", b"Q")),
    lambda rng: rng.choice((b"\x94", b"q" + rng.randbytes(1), b"r\x05\x00\x00\x00", b"p3\n", b"p0x4\n", b"p1_1\n")),
    lambda rng: rng.choice((b"h" + bytes([rng.randrange(6)]), b"j\x02\x00\x00\x00", b"g3\n", b"g 3\n", b"h\x00")),
    lambda rng: b"(" + rng.choice((b"", b"K\x01")) + b"ialpha\none\n",
    lambda rng: b"C" + bytes([3]) + rng.randbytes(3),
    lambda rng: b"\x95" + rng.choice((3, 9, 200)).to_bytes(8, "little"),
    lambda rng: rng.choice((b"Pid\n", b"\x82\x01", b"\x97", b"\x98", b"\x96" + (2).to_bytes(8, "little") + b"ab")),
)
