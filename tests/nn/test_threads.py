"""Several threads, and processes made by fork, at the same work: each gets what it gets alone, and torch is left as it was."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import qfx
import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.fixed import FixedType
from qfx.frontend.trace import trace
from qfx.quant import QuantSpec, kernel
from qfx.quant.exact_arithmetic import exact_arithmetic

PLAIN = (nn.Module.__call__, nn.Module.__getattr__)
THREADS = 4


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """What torch.fx replaces while it traces is back afterwards, and plain torch runs."""
    yield
    assert (nn.Module.__call__, nn.Module.__getattr__) == PLAIN
    assert nn.Linear(3, 2)(torch.ones(1, 3)).shape == (1, 2)


def network(seed: int = 0) -> qnn.Model:
    torch.manual_seed(seed)
    layers = (
        qnn.QuantInput(type=FixedType(False, 8, 8)),
        qnn.Conv2d(1, 3, 3, bias=False, weight=QuantSpec.weights(4)),
        qnn.BatchNorm2d(3),
        qnn.ReLU(output=QuantSpec.activations(4)),
        nn.Flatten(),
        qnn.Linear(48, 3),
    )
    model = qnn.Model(nn.Sequential(*layers))
    calibrate(model, [images()])
    return model.eval()


def images(samples: int = 8) -> Tensor:
    return torch.randint(0, 256, (samples, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def evaluated(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(images())


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """The results of jobs that begin at once."""
    barrier = Barrier(len(jobs), timeout=60)

    def begun(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(begun, job) for job in jobs]]


def test_first_evaluation_from_several_threads() -> None:
    model, wanted = network(), evaluated(network())
    for result in together(*[lambda: evaluated(model)] * THREADS):
        assert torch.equal(result, wanted)


def test_models_of_their_own() -> None:
    models = [network(seed) for seed in range(THREADS)]
    wanted = [evaluated(network(seed)) for seed in range(THREADS)]
    results = together(*[lambda model=model: evaluated(model) for model in models])
    assert all(map(torch.equal, results, wanted))


def test_lower_and_convert_from_several_threads() -> None:
    model, wanted = network(), network().lower((1, 6, 6)).text()
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)).eval()
    sample = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(2)) * 2 - 1
    codes = qfx.convert(plain, sample).lower((1, 6, 6)).text()
    jobs = [lambda: model.lower((1, 6, 6)).text(), lambda: qfx.convert(plain, sample).lower((1, 6, 6)).text()]
    assert together(*jobs * 2) == [wanted, codes] * 2


def test_modes_survive_lowering_from_several_threads() -> None:
    """A trace sets them to eval for as long as it runs."""
    model = network().train()
    together(*[lambda: [model.lower((1, 6, 6)) for _ in range(3)]] * THREADS)
    assert all(module.training for module in model.modules())


class Slow(nn.Module):
    """Waits in its forward, which a trace runs."""

    def __init__(self, inside: Event, go_on: Event) -> None:
        super().__init__()
        self.layer, self.inside, self.go_on = qnn.Quantize(QuantSpec(8, frac=4)), inside, go_on

    def forward(self, x: Tensor) -> Tensor:
        self.inside.set()
        assert self.go_on.wait(60)
        return self.layer(x)


def during_a_trace(work: Callable[[Slow], Any]) -> Any:
    """The result of `work`, done while another thread traces the model it is given."""
    inside, go_on = Event(), Event()
    model = Slow(inside, go_on)
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(trace, model)
        assert inside.wait(60)
        try:
            return work(model)
        finally:
            go_on.set()
            assert [node.op for node in tracing.result().nodes] == ["placeholder", "call_module", "output"]


def test_others_compute_while_one_traces() -> None:
    linear = nn.Linear(3, 2)
    found, layer = during_a_trace(lambda model: (linear(torch.ones(1, 3)), model.layer(torch.ones(2))))
    assert torch.equal(found, linear(torch.ones(1, 3))) and torch.equal(layer, torch.ones(2, dtype=layer.dtype))


def test_one_trains_while_another_lowers_and_evaluates() -> None:
    def train() -> list[Tensor]:
        model = network(1).train()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for _ in range(10):
            optimizer.zero_grad()
            model(images()).square().mean().backward()
            optimizer.step()
        return [parameter.detach() for parameter in model.parameters()]

    def evaluate() -> list[Tensor]:
        return [evaluated(network(seed)) for seed in (0, 2)]

    trained, results = train(), evaluate()
    found, again = together(train, evaluate)
    assert all(map(torch.equal, found, trained)) and all(map(torch.equal, again, results))


def test_a_failing_trace_leaves_torch_as_it_was() -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(trace, Wrong()) for _ in range(THREADS)]:
            with pytest.raises(qfx.errors.LoweringError, match="must not depend on the data"):
                future.result()


def test_unpickling_traces_without_catching_others() -> None:
    """torch.fx traces a GraphModule anew, by the tracer that its graph names."""
    converted = qfx.convert(nn.Sequential(nn.Linear(4, 2), nn.ReLU()).eval(), torch.randn(8, 4))
    text = pickle.dumps(converted)
    x, results = torch.randn(3, 4), list[Tensor]()
    linear = nn.Linear(4, 2)
    with ThreadPoolExecutor(2) as pool:
        loaded = [pool.submit(pickle.loads, text) for _ in range(4)]
        while not all(future.done() for future in loaded):
            results.append(linear(x))
    assert all(torch.equal(future.result()(x), converted(x)) for future in loaded)
    assert all(torch.equal(result, linear(x)) for result in results)


def test_the_kernel_is_switched_off_for_one_thread() -> None:
    both = Barrier(2, timeout=60)

    def without() -> bool:
        with kernel.using(False):
            both.wait()
            both.wait()
            return kernel.enabled()

    def beside() -> bool:
        both.wait()
        try:
            return kernel.enabled()
        finally:
            both.wait()

    with kernel.using(True):
        before = kernel.enabled()
    assert together(without, beside) == [False, True] and before


def test_the_kernel_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for it, and do not do without."""
    loaded, calls = kernel.library(), list[int]()

    def slow() -> object:
        calls.append(1)
        time.sleep(0.05)
        return loaded

    monkeypatch.setattr("qfx.quant.kernel._load", slow)
    monkeypatch.setattr("qfx.quant.kernel._Loaded.tried", False)
    monkeypatch.setattr("qfx.quant.kernel._Loaded.library", None)
    assert together(*[kernel.library] * THREADS) == [loaded] * THREADS and len(calls) == 1


class Evaluating(Dataset[Tensor]):
    """Items that a network computes, in the process that asks for them."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return evaluated(self.model)[index]


def _items(model: nn.Module) -> Sequence[Tensor]:
    return list(DataLoader(Evaluating(model), batch_size=None, num_workers=2, multiprocessing_context="fork"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("default:This process .* is multi-threaded:DeprecationWarning")
def test_workers_made_by_fork() -> None:
    """Of an evaluated model, and of a fresh one while another thread computes exactly and another traces."""
    wanted = evaluated(network())
    model = network()
    evaluated(model)
    assert torch.equal(torch.stack(list(_items(model))), wanted[:4])
    inside, go_on = Event(), Event()

    def exact() -> None:
        with exact_arithmetic(torch.device("cpu")):
            inside.set()
            assert go_on.wait(60)

    def forked() -> Sequence[Tensor]:
        assert inside.wait(60)
        try:
            return _items(network())
        finally:
            go_on.set()

    _, _, found = together(exact, lambda: [network().lower((1, 6, 6)) for _ in range(5)], forked)
    assert torch.equal(torch.stack(list(found)), wanted[:4])
