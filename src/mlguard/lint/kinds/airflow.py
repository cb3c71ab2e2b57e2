"""Airflow DAGs, read as syntax and never run: a gate between train and deploy, a way back."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from mlguard.lint.findings import Place
from mlguard.lint.intent import Fact, Known, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind
from mlguard.lint.nodes import words
from mlguard.lint.patches import Operation, Patch
from mlguard.lint.trees import of_python

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlguard.lint.nodes import Node

_TRAINS = {"train", "training", "retrain", "fit", "finetune"}
_DEPLOYS = {"deploy", "deployment", "promote", "promotion", "release", "rollout", "publish"}
_GATES = {"gate", "validate", "validation", "approve", "approval", "compare", "guard", "quality"}
_LOOKS = {"evaluate", "evaluation", "test", "score"}
_CALLBACKS = {"on_failure_callback"}
_TIMEOUTS = {"execution_timeout", "dagrun_timeout"}


@dataclass(slots=True)
class _Task:
    """A task of a DAG: its words, the names it goes by, and whether it decides what follows."""

    name: str
    words: set[str]
    line: int
    decides: bool


@dataclass(slots=True)
class _Dag:
    """What the syntax of a file tells."""

    calls: list[ast.Call] = field(default_factory=list)
    tasks: list[_Task] = field(default_factory=list)
    settings: dict[str, int] = field(default_factory=dict)
    callbacks: list[tuple[str, int]] = field(default_factory=list)
    edges: set[tuple[str, str]] = field(default_factory=set)
    line: int = 1
    name: str = ""
    found: bool = False


def _recognises(root: Node) -> bool:
    if root.document.form != "python" or "airflow" not in root.text:
        return False
    imports = (
        [each.module or ""] if isinstance(each, ast.ImportFrom) else [n.name for n in each.names]
        for each in ast.walk(of_python(root.text))
        if isinstance(each, ast.Import | ast.ImportFrom)
    )
    return any(name.partition(".")[0] == "airflow" for names in imports for name in names)


def _read(root: Node, _: Given) -> Iterable[ServingIntent]:
    tree = of_python(root.text)
    dag = _dag(tree)
    if not dag.found:
        return
    trains = [each for each in dag.tasks if each.words & _TRAINS]
    deploys = [each for each in dag.tasks if each.words & _DEPLOYS and not each.words & _GATES]
    told = _Told(root, dag)
    yield ServingIntent(
        "Airflow DAG",
        dag.name,
        told.place(dag.line),
        rollback=tuple(told.rollback()) if deploys else (),
        drift=tuple(told.drift()) if trains or deploys else (),
        approvals=tuple(told.approvals()) if deploys else (),
        performance=(told.gate(deploys),) if trains and deploys else (),
        timeouts=(told.timeout(tree),),
    )


def _dag(tree: ast.Module) -> _Dag:
    dag = _Dag()
    names = _variables(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _decorated(node, dag)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    _setting(key.value, value, dag)
        elif isinstance(node, ast.Call):
            _call(node, dag)
    for node in ast.walk(tree):
        dag.edges |= {(names.get(one, one), names.get(other, other)) for one, other in _edges(node)}
    return dag


def _variables(tree: ast.Module) -> dict[str, str]:
    """Give the task that each variable holds."""
    return {
        target.id: _task_id(node.value) or _called(node.value) or target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, dag: _Dag) -> None:
    for each in node.decorator_list:
        name = _dotted(each.func if isinstance(each, ast.Call) else each)
        if name.split(".")[-1] == "dag":
            dag.found, dag.line, dag.name = True, node.lineno, node.name
            if isinstance(each, ast.Call):
                dag.calls.append(each)
        elif "task" in name.split("."):
            task = (_task_id(each) if isinstance(each, ast.Call) else "") or node.name
            decides = bool({"branch", "short_circuit"} & {*name.split(".")})
            dag.tasks.append(
                _Task(node.name, {*words(task), *words(node.name)}, node.lineno, decides)
            )


def _call(node: ast.Call, dag: _Dag) -> None:
    name = _dotted(node.func).rpartition(".")[2]
    if name == "DAG":
        dag.found, dag.line = True, node.lineno
        dag.calls.append(node)
        given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "dag_id")]
        dag.name = next((str(g.value) for g in given if isinstance(g, ast.Constant)), "")
    task = _task_id(node)
    if task and name[:1].isupper():
        called = next((_dotted(k.value) for k in node.keywords if k.arg == "python_callable"), "")
        decides = "Branch" in name or "ShortCircuit" in name
        said = {*words(task), *words(called), *words(name)}
        dag.tasks.append(_Task(task, said - {"operator", "test"}, node.lineno, decides))
    for each in node.keywords:
        _setting(each.arg or "", each.value, dag)


def _setting(name: str, value: ast.expr, dag: _Dag) -> None:
    if isinstance(value, ast.Constant) and value.value is None:
        return
    if name in _TIMEOUTS:
        dag.settings.setdefault(name, value.lineno)
    elif name in _CALLBACKS:
        called = " ".join(filter(None, (_dotted(each) for each in ast.walk(value))))
        dag.callbacks.append((called, value.lineno))


def _edges(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Give pairs of what comes before what, as far as the syntax tells."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift | ast.LShift):
        left, right = _ends(node.left, last=True), _ends(node.right, last=False)
        pairs = [(one, other) for one in left for other in right]
        yield from pairs if isinstance(node.op, ast.RShift) else ((b, a) for a, b in pairs)
    elif isinstance(node, ast.Call):
        called = _dotted(node.func)
        way = called.rpartition(".")[2]
        after = [name for each in node.args for name in _ends(each, last=False)]
        if way in {"set_downstream", "set_upstream"}:
            pairs = [(called.rpartition(".")[0], each) for each in after]
            yield from pairs if way == "set_downstream" else ((b, a) for a, b in pairs)
        elif way == "chain":
            yield from pairwise(after)
        else:  # a task that takes what another gives
            values = [*node.args, *(each.value for each in node.keywords)]
            yield from ((name, called) for each in values for name in _ends(each, last=True))


def _ends(node: ast.expr, *, last: bool) -> list[str]:
    if isinstance(node, ast.List | ast.Tuple):
        return [name for each in node.elts for name in _ends(each, last=last)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift | ast.LShift):
        return _ends(node.right if last else node.left, last=last)
    if isinstance(node, ast.Call):
        return [_task_id(node) or _called(node)]
    return [node.id] if isinstance(node, ast.Name) else []


def _task_id(node: ast.Call) -> str:
    given = (each.value for each in node.keywords if each.arg == "task_id")
    return next((str(v.value) for v in given if isinstance(v, ast.Constant)), "")


def _called(node: ast.Call) -> str:
    func = node.func
    while isinstance(func, ast.Attribute) and func.attr in {"override", "partial", "expand"}:
        func = func.value
    return _dotted(func.func if isinstance(func, ast.Call) else func).rpartition(".")[2]


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}".lstrip(".")
    return ""


@dataclass(frozen=True, slots=True)
class _Told:
    """The facts of a DAG."""

    root: Node
    dag: _Dag

    def place(self, line: int) -> Place:
        document = self.root.document
        return Place(document.file, document.index, "", line)

    def fact(self, known: Known, says: str, line: int, fix: Patch | None = None) -> Fact:
        return Fact(known, says, self.place(line), fix=fix)

    def rollback(self) -> Iterator[Fact]:
        names = [(each.name, each.words, each.line) for each in self.dag.tasks]
        names += [(name, {*words(name)}, line) for name, line in self.dag.callbacks]
        for name, said, line in names:
            if said & {"rollback", "revert", "restore"} or {"roll", "back"} <= said:
                yield self.fact("present", f"{name} brings the last version back", line)
                return
        for name, line in self.dag.callbacks:
            yield self.fact("unknown", f"{name} is called on failure; what it does is code", line)
            return
        says = "no task and no callback brings the last version back"
        yield self.fact("absent", says, self.dag.line)

    def drift(self) -> Iterator[Fact]:
        for each in self.dag.tasks:
            if "drift" in each.words:
                yield self.fact("present", f"the task {each.name} looks at drift", each.line)
                return
        yield self.fact("absent", "no task looks at drift", self.dag.line)

    def approvals(self) -> Iterator[Fact]:
        for each in self.dag.tasks:
            if each.words & {"approve", "approval"}:
                yield self.fact("present", f"the task {each.name} waits for a yes", each.line)
                return
        yield self.fact("absent", "no task waits for a yes", self.dag.line)

    def gate(self, deploys: list[_Task]) -> Fact:
        """State whether something before the deployment may stop it."""
        before = self._before({each.name for each in deploys})
        gates = [each for each in self.dag.tasks if each.decides or each.words & _GATES]
        for each in gates:
            if each.name in before:
                return self.fact("present", f"{each.name} stands before it", each.line)
        for each in self.dag.tasks:
            if each.words & _LOOKS and each.name in before:
                says = f"{each.name} looks; whether it stops what is worse is code"
                return self.fact("unknown", says, each.line)
        line = deploys[0].line
        if gates:
            return self.fact("absent", f"{gates[0].name} does not stand before it", line)
        return self.fact("absent", f"nothing may stop {deploys[0].name}", line)

    def _before(self, names: set[str]) -> set[str]:
        """Give all that comes before; without any order told, everything may."""
        if not self.dag.edges:
            return {each.name for each in self.dag.tasks}
        above: dict[str, list[str]] = {}
        for one, other in self.dag.edges:
            above.setdefault(other, []).append(one)
        found: set[str] = set()
        ahead = list(names)
        while ahead:
            new = [each for each in above.get(ahead.pop(), ()) if each not in found]
            found.update(new)
            ahead += new
        return found

    def timeout(self, tree: ast.Module) -> Fact:
        for name, line in self.dag.settings.items():
            return self.fact("present", f"{name} is set", line)
        fix = _timed(self.root.text, tree, self.dag.calls)
        return self.fact("absent", "no task and no run ends by a timeout", self.dag.line, fix)


def _timed(source: str, tree: ast.Module, calls: list[ast.Call]) -> Patch | None:
    """Give the source with a timeout for a run."""
    if not calls:
        return None
    call = calls[0]
    given = [*call.args, *(each.value for each in call.keywords)]
    if not given:
        return None
    last = max(given, key=lambda each: (each.end_lineno or 0, each.end_col_offset or 0))
    lines = source.splitlines(keepends=True)
    row, column = (last.end_lineno or 1) - 1, last.end_col_offset or 0
    line = lines[row].encode()
    lines[row] = (line[:column] + b", dagrun_timeout=timedelta(hours=6)" + line[column:]).decode()
    imports = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    known = any(name.name == "timedelta" for each in imports for name in each.names)
    if not known:
        after = [each for each in imports if getattr(each, "module", "") != "__future__"]
        lines.insert(after[0].lineno - 1, "from datetime import timedelta\n")
    return Patch((Operation("replace", "", "".join(lines)),))


KIND = Kind("Airflow DAG", _recognises, _read)
