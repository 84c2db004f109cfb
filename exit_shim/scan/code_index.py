"""An index of a bot's code: its functions, classes, names and calls, made in one pass over each file."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from exit_shim.scan.source_files import SourceFile

MOST_HANDED_ON: Final = 4
"""How many modules a name is followed through, from import to import."""


@dataclass(eq=False)
class Function:
    """A function or method of the bot; `owner` is the class that it is a method of."""

    file: FileIndex
    name: str
    qualname: str
    owner: Class | None
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    outer: Function | None
    #: Its local names, each with the values that are assigned to it.
    names: dict[str, list[ast.expr]] = field(default_factory=dict)
    #: The classes of its parameters and local names, as they are annotated.
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """Return the names of its parameters, in their order, without `self` or `cls` of a method."""
        arguments = self.node.args
        names = [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        is_bound = self.owner is not None and names[:1] in (["self"], ["cls"])
        return names[1:] if is_bound else names


@dataclass(eq=False)
class Class:
    """A class of the bot, with what is assigned to its attributes (`self.x = …` and in its body)."""

    file: FileIndex
    name: str
    bases: list[str]
    methods: dict[str, Function] = field(default_factory=dict)
    names: dict[str, list[ast.expr]] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class CallSite:
    """One call in the source, with the function around it and the class around that."""

    file: FileIndex
    node: ast.Call
    function: Function | None
    owner: Class | None


@dataclass(eq=False)
class FileIndex:
    """What one file defines, imports and calls."""

    source: SourceFile
    names: dict[str, list[ast.expr]] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    #: What a name that is imported stands for, as a dotted name.
    imports: dict[str, str] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)
    by_qualname: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    calls: list[CallSite] = field(default_factory=list)
    #: The packages that it imports, as dotted names.
    packages: set[str] = field(default_factory=set)

    def find_function(self, qualname: str) -> Function | None:
        """Return the function of this qualified name."""
        return self.by_qualname.get(qualname)


def index_file(source: SourceFile) -> FileIndex:
    """Return the index of a file that could be parsed."""
    index = FileIndex(source)
    if source.tree is not None:
        _Indexer(index).visit_all(source.tree)
    return index


def dotted_name(node: ast.expr) -> str | None:
    """Return `a.b.c` of such an expression; None for any other."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(parts))) if isinstance(node, ast.Name) else None


class _Indexer:
    """Walk a tree with a stack of what is around; without recursion, since trees can be deep."""

    def __init__(self, index: FileIndex) -> None:
        self._index = index
        self._decorators: set[int] = set()

    def visit_all(self, tree: ast.Module) -> None:
        # Backwards, so that the first child is the next to be taken.
        stack: list[tuple[ast.AST, Function | None, Class | None]] = [(tree, None, None)]
        while stack:
            node, function, owner = stack.pop()
            inner, inner_owner = self._enter(node, function, owner)
            children = list(ast.iter_child_nodes(node))
            stack += [(child, inner, inner_owner) for child in reversed(children)]

    def _enter(
        self, node: ast.AST, function: Function | None, owner: Class | None
    ) -> tuple[Function | None, Class | None]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # `@app.post("/order")` declares; it sends nothing.
            self._decorators.update(id(each) for each in node.decorator_list)
            return self._add_function(node, function, owner), owner
        if isinstance(node, ast.ClassDef):
            return function, self._add_class(node)
        if isinstance(node, ast.Call) and id(node) not in self._decorators:
            self._index.calls.append(CallSite(self._index, node, function, owner))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._add_import(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            self._add_names(node, function, owner)
        return function, owner

    def _add_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, outer: Function | None, owner: Class | None
    ) -> Function:
        around = f"{outer.qualname}." if outer else f"{owner.name}." if owner else ""
        is_method = owner is not None and (outer is None or outer.owner is not owner)
        made = Function(self._index, node.name, around + node.name, owner, node, outer)
        self._index.functions.append(made)
        self._index.by_qualname.setdefault(made.qualname, made)
        if is_method and owner is not None:
            owner.methods.setdefault(node.name, made)
        arguments = node.args
        for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if item.annotation is not None:
                _annotate(made.annotations, item.arg, item.annotation)
        return made

    def _add_class(self, node: ast.ClassDef) -> Class:
        bases = [name for base in node.bases if (name := dotted_name(base)) is not None]
        made = Class(self._index, node.name, bases)
        self._index.classes.setdefault(node.name, made)
        return made

    def _add_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._index.packages.add(alias.name)
                self._index.imports[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
            return
        base = self._absolute(node)
        self._index.packages.add(base)
        for alias in node.names:
            self._index.imports[alias.asname or alias.name] = f"{base}.{alias.name}" if base else alias.name

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        source = self._index.source
        parts = source.module.split(".")
        is_package = source.name.endswith("__init__.py")
        kept = parts[: len(parts) - node.level + is_package]
        return ".".join((*kept, *(node.module.split(".") if node.module else ())))

    def _add_names(
        self,
        node: ast.Assign | ast.AnnAssign | ast.NamedExpr,
        function: Function | None,
        owner: Class | None,
    ) -> None:
        targets: list[ast.expr] = list(node.targets) if isinstance(node, ast.Assign) else [node.target]
        for target, value in _pairs(targets, node.value):
            names, annotations, name = self._scope_of(target, function, owner)
            if name is None:
                continue
            if value is not None:
                names.setdefault(name, []).append(value)
            if isinstance(node, ast.AnnAssign):
                _annotate(annotations, name, node.annotation)

    def _scope_of(
        self, target: ast.expr, function: Function | None, owner: Class | None
    ) -> tuple[dict[str, list[ast.expr]], dict[str, str], str | None]:
        if isinstance(target, ast.Name):
            scope: Function | Class | FileIndex = function or owner or self._index
            return scope.names, scope.annotations, target.id
        is_own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
        if is_own and owner is not None and target.value.id in {"self", "cls"}:  # type: ignore[attr-defined]
            return owner.names, owner.annotations, target.attr  # type: ignore[attr-defined]
        return {}, {}, None


def _pairs(targets: list[ast.expr], value: ast.expr | None) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Yield each target with its value; those of `a, b = x, y` one by one."""
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from zip(target.elts, value.elts, strict=False)
        else:
            yield target, value


def _annotate(annotations: dict[str, str], name: str, annotation: ast.expr) -> None:
    """Remember the class that an annotation names: `Cls`, `"Cls"`, `Cls | None`, `Optional[Cls]`."""
    for node in ast.walk(annotation):
        dotted = dotted_name(node) if isinstance(node, (ast.Name, ast.Attribute)) else None
        if dotted is None and isinstance(node, ast.Constant) and isinstance(node.value, str):
            dotted = node.value
        if dotted is not None and dotted.rpartition(".")[2] not in {"Optional", "Union", "None"}:
            annotations.setdefault(name, dotted)


class CodeIndex:
    """The index of all files, with look-ups across them.

    Args:
        files: The index of each file.
        other_texts: What else belongs to the bot: settings, and code that could not be parsed.
    """

    def __init__(self, files: list[FileIndex], other_texts: Sequence[str] = ()) -> None:
        self.files = files
        self.other_texts = other_texts
        self._modules: dict[str, FileIndex] = {}
        #: By the last parts of their names.
        self._by_tail: dict[str, FileIndex] = {}
        for file in files:
            parts = file.source.module.split(".")
            self._modules.setdefault(file.source.module, file)
            for start in range(1, len(parts)):
                self._by_tail.setdefault(".".join(parts[start:]), file)
        self._methods: dict[str, list[Function]] = {}
        self._heirs: dict[str, list[Class]] = {}
        for file in files:
            for owner in file.classes.values():
                for base in owner.bases:
                    self._heirs.setdefault(base.rpartition(".")[2], []).append(owner)
                for method in owner.methods.values():
                    self._methods.setdefault(method.name, []).append(method)

    def find_module(self, dotted: str) -> FileIndex | None:
        """Return the file that is imported under a dotted name.

        The bot may be started from a folder above or below the scanned one, so the ends of names decide.
        """
        parts = dotted.split(".")
        tails = (".".join(parts[start:]) for start in range(1, len(parts)))
        above = next((self._modules[tail] for tail in tails if tail in self._modules), None)
        return self._modules.get(dotted) or self._by_tail.get(dotted) or above

    def find_methods(self, name: str) -> list[Function]:
        """Return the methods of this name of all classes."""
        return self._methods.get(name, [])

    def find_class(self, file: FileIndex, name: str) -> Class | None:
        """Return the class that a name stands for in a file."""
        first, _, rest = name.partition(".")
        last = name.rpartition(".")[2]
        # `ccxt.Exchange` is not the bot's class of that name.
        if last in file.classes and not (rest and first in file.imports):
            return file.classes[last]
        module = self.find_home(self.resolve(file, name), "classes")
        return module.classes.get(last) if module is not None else None

    def find_home(self, dotted: str | None, table: Literal["classes", "by_qualname"]) -> FileIndex | None:
        """Return the file that defines what a dotted name means; a package may hand on what it imports."""
        for _ in range(MOST_HANDED_ON):
            above, _, last = (dotted or "").rpartition(".")
            module = self.find_module(above) if above else None
            if module is None or last in getattr(module, table):
                return module
            dotted = module.imports.get(last)
        return None

    def resolve(self, file: FileIndex, name: str) -> str | None:
        """Return the dotted name that a name of a file was imported as; None where it was not imported."""
        first, _, rest = name.partition(".")
        target = file.imports.get(first)
        return None if target is None else f"{target}.{rest}" if rest else target

    def find_in_class(self, owner: Class, name: str) -> list[Function]:
        """Return the methods that `self.name` may mean: of the class, its bases, else of its heirs."""
        seen: set[int] = set()
        waiting = [owner]
        while waiting:
            each = waiting.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            if name in each.methods:
                return [each.methods[name]]
            waiting += [base for text in each.bases if (base := self.find_class(each.file, text)) is not None]
        heirs = self._heirs.get(owner.name, [])
        return [heir.methods[name] for heir in heirs if name in heir.methods]

    def values_of(
        self, file: FileIndex, function: Function | None, owner: Class | None, name: str
    ) -> list[ast.expr]:
        """Return the values that a plain name may have: local, of an outer function, global or imported."""
        scope = function
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            if name in scope.parameters:
                return _defaults(scope, name)
            scope = scope.outer
        if owner is not None and function is None and name in owner.names:
            return owner.names[name]
        if name in file.names:
            return file.names[name]
        dotted = file.imports.get(name)
        module = self.find_module(dotted.rpartition(".")[0]) if dotted else None
        return [] if module is None or dotted is None else module.names.get(dotted.rpartition(".")[2], [])


def _defaults(function: Function, name: str) -> list[ast.expr]:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs: Mapping[str, ast.expr | None] = {
        **dict(
            zip(
                (item.arg for item in positional[len(positional) - len(arguments.defaults) :]),
                arguments.defaults,
                strict=True,
            )
        ),
        **dict(zip((item.arg for item in arguments.kwonlyargs), arguments.kw_defaults, strict=True)),
    }
    value = pairs.get(name)
    return [] if value is None else [value]
