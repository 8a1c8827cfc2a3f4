"""The router that is served: architectures, and a linear router that needs no batch, noise or gates.

Codes and routes stop being learned quantities here. Whatever is decided here is decided once, from
numbers that do not change between two readings of one training state.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from aptp.model.gated_router import GatedRouter, published_noise
from aptp.model.router import Router
from aptp.model.sliced import gates_of
from aptp.space.architecture import Architecture, harden
from aptp.space.cost import Cost
from aptp.train import optimal_transport
from aptp.train.budget import fit
from aptp.train.gate_policy import GatePolicy
from aptp.train.gumbel_sigmoid import SampledGates, gumbel

RIDGE, ITERATIONS = 1e-3, 200  # of the logistic fit


@dataclass(frozen=True, slots=True)
class Deployment:
    """A router to serve.

    `vectors` [K, D]: the codes where prompts meet them. `prices` [K]: added to a prompt's scores.
    """

    policy: GatePolicy
    architectures: tuple[Architecture, ...]
    vectors: Tensor
    prices: Tensor

    @torch.no_grad()
    def routes(self, embeddings: Tensor) -> Tensor:
        """Return the code [N] of each prompt [N, E], by the method's own rule for prompts that come alone."""
        return (_fits(self.policy, self.vectors, embeddings) + self.prices).argmax(1)

    def router(self, embeddings: Tensor) -> Router:
        """Return the router to serve, in float32.

        It is the method's own rule: with linear routing, where a shift of the predictor's bias gives every
        code its price; and as published, where a router compares gates and codes have no price. A mixture of
        the two gets the linear map that best repeats its rule on the prompts `embeddings` [N, E]
        (`agreement` says how well).
        """
        method = self.policy.method
        if not (method.linear_routing or method.hard or method.balanced) and method.ordered_depth:
            return self._gated()
        if method.linear_routing:
            weight, bias = (part.double() for part in self.policy.predictor.affine())
            scale, codes = self.policy.similarity.scale.double(), self.vectors.double()
            weight = weight * scale.unsqueeze(1)
            bias = bias * scale + torch.linalg.pinv(codes) @ self.prices.double()
        else:
            weight, bias = _imitated(embeddings, self.routes(embeddings), self.vectors.shape)
            codes = torch.eye(*self.vectors.shape)
        router = Router(weight.shape[1], weight.shape[0], codes.shape[0])
        router.load_state_dict(
            {"predictor.weight": weight.float(), "predictor.bias": bias.float(), "codes": codes.float()}
        )
        return router.eval()

    def _gated(self) -> Router:
        """Return the published router, under the one noise sample that is repeated for every prompt."""
        policy, order = self.policy, self.policy.relaxation.order
        weight, bias = policy.predictor.affine()
        router = GatedRouter(weight.shape[1], policy.space, len(self.vectors))
        state = {"predictor.weight": weight, "predictor.bias": bias, "codes": self.vectors}
        state["ranks"] = order.argsort()
        state["temperature"] = torch.tensor(policy.method.temperature)
        state["offset"] = torch.tensor(policy.method.offset)
        state["noise"] = torch.zeros(policy.space.size)
        if policy.method.noise:
            state["noise"] = published_noise(policy.space)[0]
        router.load_state_dict(state)
        return router.eval()


@torch.no_grad()
def deploy(policy: GatePolicy, cost: Cost, embeddings: Tensor, rng: torch.Generator) -> Deployment:
    """Fit the router that is served.

    `cost`: what serving pays, in which codes are fitted to their mean budget. `embeddings` [N, E]: training
    prompts, on which prices are set so that all codes get as many of them.

    `rng` draws the sample of the codes that the published method serves.
    """
    method = policy.method
    noise = (
        gumbel(torch.rand(policy.codes.shape, generator=rng)).to(policy.codes) if method.noisy_codes else None
    )
    gates = policy.relaxation(policy.codes, noise)
    if method.fitted:
        logits = policy.relaxation.logits(policy.codes, noise).double().cpu().numpy()
        architectures = fit(cost, logits, method.budget, align=method.align)
    else:
        soft = gates.soft.double().cpu().numpy()
        architectures = tuple(harden(policy.space, code, align=method.align) for code in soft)
    built = torch.cat([gates_of(architecture) for architecture in architectures]).to(policy.codes)
    # A linear router knows codes by what is built; the published one by their gates, soft depths included.
    vectors = policy.similarity.codes(SampledGates(built, built) if method.linear_routing else gates)
    prices = torch.zeros(method.codes).to(vectors)
    if method.balanced:
        fits = optimal_transport.array(_fits(policy, vectors, embeddings.to(vectors)))
        prices = torch.from_numpy(optimal_transport.exact(fits).prices).to(vectors)
    return Deployment(policy, architectures, vectors, prices)


def _fits(policy: GatePolicy, vectors: Tensor, embeddings: Tensor) -> Tensor:
    """Return [N, K]: the score of each prompt for each code, before prices."""
    scores = policy.predictor(embeddings)
    gates = None
    if not policy.method.linear_routing:
        noise = _routing_noise(policy).to(scores) if policy.method.noise else None
        gates = policy.relaxation(scores, noise)
    return policy.similarity.prompts(scores, gates) @ vectors.T


def _routing_noise(policy: GatePolicy) -> Tensor:
    """Return the sample [1, D] that the published code adds to a single prompt, by gate."""
    noise, order = published_noise(policy.space), policy.relaxation.order.cpu()
    widths = policy.space.width_gates
    by_gate = noise.clone()
    by_gate[:, widths + order] = noise[:, widths:]
    return by_gate


@torch.enable_grad()
def _imitated(embeddings: Tensor, routes: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Weight [D, E] and bias [D] of the linear map nearest to `routes` [N], whose first K outputs are the
    codes' scores (`shape` is (K, D)): multinomial logistic regression on standardised embeddings, folded
    back onto embeddings as they are.
    """
    codes, size = shape
    found = embeddings.double().cpu()
    centre, spread = found.mean(0), found.std(0) + 1e-6
    inputs, labels = (found - centre) / spread, routes.cpu()
    weight = torch.zeros(codes, found.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(codes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(inputs @ weight.T + bias, labels) + RIDGE * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    folded = weight.detach() / spread
    padding = (0, size - codes)
    return F.pad(folded, (0, 0, *padding)), F.pad(bias.detach() - folded @ centre, padding)


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of codes.

    `use` [K]: share of prompts per code. `costs` [K] and `budget`: shares of dense, per code and as the
    prompts were routed. `agreement`: share of prompts that the served router sends where the method's own
    rule does.
    """

    use: tuple[float, ...]
    costs: tuple[float, ...]
    budget: float
    agreement: float


def usage(deployment: Deployment, router: Router, cost: Cost, embeddings: Tensor) -> Usage:
    """Return how the served `router` spreads the prompts `embeddings` [N, E]; `cost` is what serving pays."""
    served = served_routes(router, embeddings)
    use = np.bincount(served.numpy(), minlength=len(deployment.architectures)) / len(served)
    costs = np.array([cost.of(code) for code in deployment.architectures]) / cost.dense
    own = deployment.routes(embeddings.to(deployment.vectors)).cpu()
    agreement = float((served == own).float().mean())
    return Usage(tuple(use.tolist()), tuple(costs.tolist()), float(use @ costs), agreement)


@torch.no_grad()
def served_routes(router: Router, embeddings: Tensor) -> Tensor:
    """Return the code [N] of each pooled prompt [N, E]. Pooling one token gives that token."""
    tokens = embeddings.float().cpu().unsqueeze(1)
    return router.route(tokens, torch.ones(tokens.shape[:2], dtype=torch.int64))
