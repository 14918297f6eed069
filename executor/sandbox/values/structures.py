"""LeetCode's linked lists and binary trees as data: how a test writes them, and how nodes are made and read.

As data a list is its values, and a tree its values level by level with None for a missing child and without the Nones
at the end, as LeetCode prints them. The empty list and the empty tree are None. Nodes exist only in the process that
runs a program; `ListNode` and `TreeNode` there are the classes that the program or the suite's setup defines,
else the two of `node_classes`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.sandbox.values.standard import TooLarge


@dataclass(frozen=True, slots=True)
class LinkedList:
    """Values from head to tail, at least one."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class BinaryTree:
    """Values level by level, the root first; None is a missing child, never the last entry."""

    values: tuple[Any, ...]


def linked_list(values: Any) -> LinkedList | None:
    """The data of `list_node(values)`."""
    return LinkedList(tuple(values)) if values else None


def binary_tree(values: Any) -> BinaryTree | None:
    """The data of `tree_node(values)`; ValueError where a value has no parent."""
    values = list(values)
    while values and values[-1] is None:
        values.pop()
    if not values:
        return None
    places = 1
    for value in values:
        if places == 0:
            raise ValueError("a tree has a value that is no node's child")
        places += 1 if value is not None else -1
    return BinaryTree(tuple(values))


def node_classes() -> dict[str, Any]:
    """By name, made anew for each test, because a program may change them."""

    class ListNode:
        def __init__(self, val: Any = 0, next: Any = None) -> None:
            self.val = val
            self.next = next

    class TreeNode:
        def __init__(self, val: Any = 0, left: Any = None, right: Any = None) -> None:
            self.val = val
            self.left = left
            self.right = right

    return {"ListNode": ListNode, "TreeNode": TreeNode}


def build(value: Any, names: dict[str, Any]) -> Any:
    """`value` with every LinkedList and BinaryTree in it replaced by nodes of the classes that `names` has."""
    match value:
        case LinkedList():
            make = names.get("ListNode") or node_classes()["ListNode"]
            nodes = [make(v) for v in value.values]
            for node, following in zip(nodes, nodes[1:], strict=False):
                node.next = following
            return nodes[0]
        case BinaryTree():
            return _tree(value.values, names.get("TreeNode") or node_classes()["TreeNode"])
        case list():
            return [build(v, names) for v in value]
        case tuple():
            return tuple(build(v, names) for v in value)
        case dict():
            return {key: build(v, names) for key, v in value.items()}
    return value


def _tree(values: tuple[Any, ...], make: Any) -> Any:
    nodes = [None if v is None else make(v) for v in values]
    children = iter(nodes[1:])
    for node in nodes:
        if node is not None:
            node.left, node.right = next(children, None), next(children, None)
    return nodes[0]


def list_values(head: Any) -> Iterator[Any]:
    """Values along `next`. TooLarge where the list bites its tail; one that grows on the way has no end."""
    seen = set()
    while head is not None:
        if id(head) in seen:
            raise TooLarge("a linked list with a cycle")
        seen.add(id(head))
        yield head.val
        head = head.next


def tree_nodes(root: Any) -> Iterator[Any]:
    """Nodes level by level, None for a missing child; without an end for a graph with a cycle."""
    waiting = deque([root])
    while waiting:
        node = waiting.popleft()
        yield node
        if node is not None:
            waiting += (node.left, node.right)
