"""Random networks whose branches meet again after different delays: words have to wait in many places."""

from __future__ import annotations

import random

from qfx.annotations import explained
from qfx.fixed import FixedType, Overflow
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import Add, AvgPool2d, Concat, Conv2d, MaxPool2d, Multiply, Requantize
from qfx.ops.sampling import random_codes

S4 = FixedType(True, 4, 2)
CHANNELS = 2


@explained
def branching(seed: int, steps: int = 7) -> Graph:
    """Values of one shape, each step from one or two of the earlier ones; what nothing reads is added up."""
    choose = random.Random(seed)
    build = GraphBuilder("branches")
    shape = (CHANNELS, choose.randint(3, 6), choose.randint(3, 6))
    pool = [build.input("x", S4, shape)]

    def narrow(name: str, value: Value) -> Value:
        return build.add(name, Requantize(S4, overflow=Overflow.SAT), value)

    def convolution(name: str, x: Value, kernel: int, groups: int = 1) -> Value:
        shape = (CHANNELS, x.channels // groups, kernel, kernel)
        weight = build.constant(f"{name}.w", S4, random_codes(S4, shape, seed))
        return build.add(f"{name}.conv", Conv2d(padding=(kernel // 2, kernel // 2), groups=groups), x, weight)

    for number in range(steps):
        name, x, y = f"s{number}", choose.choice(pool[-3:]), choose.choice(pool)
        kind = choose.randrange(7)
        if kind < 2:
            found = convolution(name, x, (3, 5)[kind])
        elif kind == 2:
            found = convolution(name, x, 3, CHANNELS)
        elif kind == 3:
            found = build.add(f"{name}.max", MaxPool2d((3, 3), (1, 1), (1, 1)), x)
        elif kind == 4:
            found = convolution(name, build.add(f"{name}.both", Concat(), x, y), 1)
        elif kind == 5:
            mean = AvgPool2d(shape[1:], shape[1:], reciprocal=None if shape[1:] == (4, 4) else FixedType(False, 8, 10))
            gate = narrow(f"{name}.gate", build.add(f"{name}.mean", mean, y))
            found = build.add(f"{name}.gated", Multiply(), x, gate)
        else:
            found = build.add(f"{name}.sum", Add(), x, y)
        pool.append(narrow(name, found))
    graph = build.build(pool[-1])
    total, *loose = [value for value in pool if not graph.consumers(value.name)]
    for number, value in enumerate(loose):
        total = build.add(f"end{number}", Add(), total, value)
    return build.build(total)
