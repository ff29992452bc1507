"""One pickle stream, followed without running it: what would it import and call?

The stack machine of :mod:`pickle` is run on names and literals instead of
objects. Reading the last two strings before an opcode instead, as linear
scanners do, can be led astray by the memo; and `pickletools.genops` gives up on
numbers that the real unpickler accepts, so that what follows them is not seen.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # what protocols below 3 are mapped by
from collections.abc import Callable
from typing import Any

from ngf_hub.evidence.joblib_arrays import WRAPPERS, array_size
from ngf_hub.evidence.pickle_parts import (
    KEPT_ITEMS,
    OTHER,
    UNKNOWN,
    Budget,
    Made,
    Name,
    PickleError,
    PickleTooLong,
    State,
    Stream,
    Window,
    may_be_pickle,
)
from ngf_hub.evidence.pickle_use import BY_USE, use_of
from ngf_hub.text import plain

MAX_NAMES = 10_000
_FIRST = ("P", "\x80", b"P", b"\x80")
_MARK = Made()


def read_stream(window: Window, budget: Budget, *, joblib: bool = False) -> Stream:
    """Follow the stream that starts where the window stands, up to its STOP.

    Args:
        window: It stands behind the stream afterwards.
        budget: What is used is taken from it.
        joblib: Whether raw arrays follow their wrappers, as ``joblib.load`` reads them.
    """
    return _Machine(window, budget, joblib).run()


class _Machine:
    """The stack machine, with one method an opcode or kind of opcode."""

    def __init__(self, window: Window, budget: Budget, joblib: bool, depth: int = 0) -> None:
        self.window = window
        self.budget = budget
        self.joblib = joblib
        self.depth = depth
        self.stream = Stream()
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.protocol = 0

    def run(self) -> Stream:
        """Carry out opcodes up to STOP."""
        try:
            self.follow()
        except PickleError as error:
            self.stream.error = str(error)
            self.stream.too_long = isinstance(error, PickleTooLong)
        # The readers of pickletools raise these, and so does an empty stack or memo.
        except (ValueError, IndexError, KeyError, OverflowError, AttributeError, TypeError):
            self.stream.error = "its opcodes do not fit together"
        return self.stream

    def follow(self) -> None:
        window, push, table = self.window, self.stack.append, _OPCODES
        for _ in range(self.budget.operations):
            code = window.read(1)
            if not code:
                raise PickleError("it ends in the middle")
            read, action = table[code[0]]
            argument = None if read is None else read(window)
            if action is None:
                # A constant: the argument itself, or nothing of interest.
                push(OTHER if argument is None else argument)
                # Cheap, and by far most literals are done with here.
                if isinstance(argument, (str, bytes, bytearray)) and argument[:1] in _FIRST:
                    self.look_inside(argument)
            elif code == b".":
                self.stream.value = self.stack.pop()
                return
            else:
                action(self, argument)
            self.budget.operations -= 1
        raise PickleTooLong("it has too many opcodes")

    # -- literals that are pickles

    def look_inside(self, literal: str | bytes | bytearray, *, loaded: bool = False) -> None:
        """Keep a literal that may be a pickle; ``loaded``: something unpickles it."""
        try:
            head = literal[:4].encode("latin-1") if isinstance(literal, str) else literal[:4]
            if loaded or may_be_pickle(head):
                data = literal.encode("latin-1") if isinstance(literal, str) else bytes(literal)
                self.stream.nested.append((data, loaded))
        except UnicodeEncodeError:
            return

    # -- stack and memo

    def pop_mark(self, _: Any = None) -> list[Any]:
        """All values above the topmost mark, which goes too."""
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                items = stack[index + 1 :]
                del stack[index:]
                return items
        raise PickleError("it takes from an empty stack")

    def push(self, value: Any) -> None:
        """Push a value that was there before: again one more use of it."""
        if isinstance(value, Name) and value in BY_USE:
            self.stream.loose[value] += 1
        self.stack.append(value)

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def dup(self, _: Any) -> None:
        self.push(self.stack[-1])

    def get(self, index: int) -> None:
        self.push(self.memo[int(index)])

    def put(self, index: int) -> None:
        self.memo[int(index)] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def proto(self, version: int) -> None:
        if version > 5:
            raise PickleError(f"it is of protocol {version}, which does not exist")
        self.protocol = version

    # -- containers

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise PickleError("it takes from an empty stack")
        del self.stack[-count:]
        self.stack.append(items)

    def tuple_(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append(tuple(items) if len(items) <= KEPT_ITEMS else OTHER)

    def collect(self, _: Any) -> None:
        """A list, dictionary or frozen set of what is above the mark."""
        made = State()
        made.take(self.pop_mark())
        self.stack.append(made)

    def empty_dict(self, _: Any) -> None:
        self.stack.append(State())

    def fill(self, count: int | None) -> None:
        """Items into a container: of a list, set or dictionary, or of whatever stands there."""
        items = self.pop_mark() if count is None else self.stack[-count:]
        if count is not None:
            del self.stack[-count:]
        target = self.stack[-1]
        if isinstance(target, Name):
            self.trick(f"it changes {target} itself")
        if isinstance(target, State):
            target.take(items)

    # -- names and calls

    def import_(self, module: Any, name: Any) -> Name:
        """Take note of a global: as the unpickler sees it, which knows Python 2's names."""
        found = Name(module, name)
        if self.protocol < 3:
            if found in NAME_MAPPING:
                found = Name(*NAME_MAPPING[found])
            elif module in IMPORT_MAPPING:
                found = Name(IMPORT_MAPPING[module], name)
        self.stream.names.add(found)
        if len(self.stream.names) > MAX_NAMES:
            raise PickleTooLong(f"it names more than {MAX_NAMES:,} globals")
        return found

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push(self.import_(module, name))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            self.trick("it imports a name that it computes")
            self.stack.append(Made())
            return
        self.push(self.import_(module, name))

    def inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        items = self.pop_mark()
        self.push(self.import_(module, name))
        self.stack.append(self.call(self.stack.pop(), tuple(items)))

    def obj(self, _: Any) -> None:
        function, *arguments = self.pop_mark()
        self.stack.append(self.call(function, tuple(arguments)))

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, arguments))

    def newobj(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, arguments))

    def newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self.newobj(None)

    def call(self, function: Any, arguments: Any) -> Any:
        """What comes of calling something."""
        if not isinstance(function, Name):
            self.trick("it calls something that it computes")
            return Made()
        arguments = arguments if isinstance(arguments, tuple) else ()
        if function in BY_USE:
            use = use_of(function, arguments)
            self.stream.loose[function] -= use is not None
            if use is None:
                return Made()
            if use.member is not None:
                self.stream.names.add(use.member)
            if use.data is not None:
                self.look_inside(use.data, loaded=use.loads)
            return use.value
        return Made(function, arguments[:2])

    def build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Name):
            self.trick(f"it changes {target} itself")
        if not isinstance(target, Made):
            return
        known = target.state is None and (not isinstance(state, State) or state.complete)
        target.state = state if known else UNKNOWN
        if target.maker in WRAPPERS:
            self.stream.arrays = True
            if self.joblib:
                self.skip_array(target.state)

    def extension(self, _: Any) -> None:
        self.trick("it imports by a number of copyreg's registry, which says nothing")
        self.stack.append(Made())

    def persistent(self, argument: Any) -> None:
        if argument is None:
            self.stack.pop()
        self.stack.append(Made())

    def skip_array(self, state: Any) -> None:
        """Past the raw bytes of an array that joblib wrote between two opcodes."""
        size = array_size(state, self.window.peek(1))
        if size is None:
            raise PickleError("it holds an array of which the size is not clear")
        if size >= 0:
            if len(self.window.read(size)) < size:
                raise PickleError("it ends in the middle of an array")
            return
        if self.depth > 8:
            raise PickleError("it holds arrays within arrays within arrays")
        # An array of objects is a stream of its own.
        inner = _Machine(self.window, self.budget, False, self.depth + 1).run()
        self.stream.names |= inner.names
        self.stream.loose += inner.loose
        self.stream.tricks |= inner.tricks
        self.stream.nested += inner.nested
        if inner.error is not None:
            raise PickleError(inner.error)

    def trick(self, what: str) -> None:
        self.stream.tricks[plain(what)] = None


def _push(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(value)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(count)


def _fill(count: int | None) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.fill(count)


def _nothing(machine: _Machine, argument: Any) -> None:
    """FRAME and the flag of a buffer change nothing; STOP is seen to by the loop."""


_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "STOP": _nothing,
    "PROTO": _Machine.proto,
    "FRAME": _nothing,
    "READONLY_BUFFER": _nothing,
    "MARK": _push(_MARK),
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    "EMPTY_TUPLE": _push(()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _Machine.tuple_,
    "EMPTY_DICT": _Machine.empty_dict,
    **dict.fromkeys(("LIST", "DICT", "FROZENSET"), _Machine.collect),
    "APPEND": _fill(1),
    "SETITEM": _fill(2),
    **dict.fromkeys(("APPENDS", "SETITEMS", "ADDITEMS"), _fill(None)),
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "INST": _Machine.inst,
    "OBJ": _Machine.obj,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.newobj,
    "NEWOBJ_EX": _Machine.newobj_ex,
    "BUILD": _Machine.build,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _Machine.extension),
    **dict.fromkeys(("PERSID", "BINPERSID"), _Machine.persistent),
}


def _line(window: Window) -> None:
    if not window.readline().endswith(b"\n"):
        raise PickleError("it ends in the middle")


def _no_opcode(machine: _Machine, argument: Any) -> None:
    raise PickleError("it holds bytes that are no opcodes")


def _table() -> list[tuple[Callable[[Any], Any] | None, Callable[[_Machine, Any], Any] | None]]:
    """By its code: what reads an opcode's argument, and what carries the opcode out."""
    table: list[tuple[Any, Any]] = [(None, _no_opcode)] * 256
    for opcode in pickletools.opcodes:
        read: Any = opcode.arg.reader if opcode.arg is not None else None
        # The unpickler takes these by int(text, 0), pickletools by int(text) and so gives up
        # on 0x1, with all that follows unseen. No number of these matters here.
        if opcode.name in ("INT", "LONG", "FLOAT"):
            read = _line
        table[ord(opcode.code)] = (read, _ACTIONS.get(opcode.name))
    return table


_OPCODES = _table()
