"""numpy's arrays as data, where numpy is there: copied by `ndarray`'s own methods, so that no class of a program has a
say in what numpy makes of them."""

from typing import Any

_VARIABLE = "T"  # kind of a type of texts that an array only refers to
_COMPOUND = "VO"  # type codes


class Arrays:
    """`numpy`: the module as it was before any program."""

    def __init__(self, numpy: Any) -> None:
        self.kind = kind = numpy.ndarray
        self._kept, self._read = (numpy.matrix, numpy.ma.MaskedArray), numpy.frombuffer
        self._view, self._copy, self._raw, self._list = kind.view, kind.copy, kind.tobytes, kind.tolist
        self._flat, self._fill, self._resize = kind.ravel, kind.__setitem__, kind.resize
        self._shape = vars(kind)["shape"].__set__
        codes = [code for code in numpy.typecodes["All"] if code not in _COMPOUND]
        self.atoms = {made for code in codes for made in (numpy.dtype(code).type, type(numpy.dtype(code)))}

    def empty(self, value: Any) -> Any:
        """Another array of the same form."""
        return self._copy(value if type(value) in self._kept else self._view(value, self.kind))

    def parts(self, value: Any) -> list[Any]:
        """The shape, and the bytes or each of the objects."""
        plain = self._view(value, self.kind)
        if self._of_objects(plain):
            return [plain.shape, *self._list(self._flat(plain))]
        return [plain.shape, self._raw(plain)]

    def refill(self, value: Any, parts: list[Any]) -> None:
        plain = self._view(value, self.kind)
        shape, *items = parts
        objects = self._of_objects(plain)
        if not objects and self.parts(value) == parts:
            return
        if plain.shape != shape:
            if plain.size == len(items):
                self._shape(value, shape)
            else:
                self._resize(value, shape, refcheck=False)
            plain = self._view(value, self.kind)
        if not objects:
            self._fill(plain, ..., self._read(*items, plain.dtype).reshape(shape))
            return
        flat = plain.flat
        for place, item in enumerate(items):
            flat[place] = item

    @staticmethod
    def _of_objects(plain: Any) -> bool:
        return plain.dtype.hasobject or plain.dtype.kind == _VARIABLE
