"""Values of tests as JSON and back: what JSON has no form for is a one-key object whose key begins with `$`.

`{"$list_node": [1, 2]}` and `{"$tree_node": [1, null, 2]}` are LeetCode's lists and trees, `{"$dict": [[1, "a"]]}`
a dictionary whose keys are not all texts.
"""

from typing import Any

from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList, binary_tree, linked_list


def from_json(data: Any) -> Any:
    """Plain data with LinkedList and BinaryTree in it. ValueError for an unknown tag or a body of the wrong form."""
    if isinstance(data, list):
        return [from_json(value) for value in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {key: from_json(value) for key, value in data.items()}
    ((tag, body),) = data.items()
    if tag not in ("$list_node", "$tree_node", "$dict"):
        raise ValueError(f"unknown tag `{tag}`; known: $list_node, $tree_node, $dict")
    if not isinstance(body, list):
        raise ValueError(f"`{tag}` holds a list, not {type(body).__name__}")
    if tag == "$dict":
        try:
            return {key: from_json(value) for key, value in body}
        except (TypeError, ValueError) as error:
            raise ValueError(f"`$dict` holds pairs of a plain key and a value: {error}") from error
    values = [from_json(value) for value in body]
    return linked_list(values) if tag == "$list_node" else binary_tree(values)


def to_json(value: Any) -> Any:
    """The inverse, up to tuples, which become lists. ValueError for a value that the format cannot hold."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if value - value == 0:  # finite
            return value
        case list() | tuple():
            return [to_json(part) for part in value]
        case LinkedList():
            return {"$list_node": [to_json(part) for part in value.values]}
        case BinaryTree():
            return {"$tree_node": [to_json(part) for part in value.values]}
        case dict() if all(isinstance(key, str) for key in value) and not _tagged(value):
            return {key: to_json(part) for key, part in value.items()}
        case dict() if all(isinstance(key, str | int | float | None) for key in value):
            return {"$dict": [[to_json(key), to_json(part)] for key, part in value.items()]}
    raise ValueError(f"the problem format has no form for {type(value).__name__} {value!r:.60}")


def plain_keys(value: Any) -> Any:
    """Data of the format with `$dict` for each dictionary whose keys are not texts, which JSON would make texts."""
    if isinstance(value, list | tuple):
        return [plain_keys(part) for part in value]
    if not isinstance(value, dict):
        return value
    if all(isinstance(key, str) for key in value):
        return {key: plain_keys(part) for key, part in value.items()}
    return {"$dict": [[key, plain_keys(part)] for key, part in value.items()]}


def integer_keys(value: Any) -> Any:
    """A value, or a list of arguments, with integers as keys of a dictionary where JSON made all of them texts.

    As the harness of APPS undoes it: of the value, or of the first in the list. ValueError where two keys are the same
    integer: that harness then loses one.
    """
    if isinstance(value, list):
        return [_with_integers(value[0]), *value[1:]] if value else value
    return _with_integers(value)


def _with_integers(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    try:
        found = {int(key): part for key, part in value.items()}
    except ValueError:
        return value
    if len(found) < len(value):
        raise ValueError(f"two keys of a dictionary are one as integers: {', '.join(value):.60}")
    return found


def _tagged(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")
