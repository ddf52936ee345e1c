"""from_torch of modules as they are written elsewhere, against PyTorch's own answers."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from frameworks import assert_agrees
from torch import nn
from torch_modules import Module, NormalisedInputs, QNetwork, check, lin, mlp

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class ModelOutput(collections.OrderedDict):
    """Like those of transformers: an ordered dict whose keys are attributes."""


# --- Modules of public repositories, made small ---------------------------------------------------


class Actor(nn.Module):
    """CleanRL: bounds of the actions as buffers."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc_mu = nn.Linear(17, 8), nn.Linear(8, 8), nn.Linear(8, 6)
        self.register_buffer("action_scale", torch.rand(6) + 0.5)
        self.register_buffer("action_bias", torch.randn(6))

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return torch.tanh(self.fc_mu(x)) * self.action_scale + self.action_bias


class GaussianActor(Actor):
    """CleanRL's SAC: two heads, the second squashed."""

    def __init__(self):
        super().__init__()
        self.fc_logstd = nn.Linear(8, 6)

    def forward(self, x):
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        mean, log_std = self.fc_mu(x), torch.tanh(self.fc_logstd(x))
        return mean, -5 + 0.5 * 7 * (log_std + 1)


class ActorCritic(nn.Module):
    """rsl_rl: a distribution is made, and the deterministic action returned by a method."""

    def __init__(self):
        super().__init__()
        self.actor, self.critic = mlp(9, 16, 4, activation=nn.ELU), mlp(9, 16, 1)
        self.std = nn.Parameter(torch.ones(4))
        self.distribution = None
        self.calls = []

    def forward(self, observations):
        self.calls.append(len(observations))
        mean = self.actor(observations)
        self.distribution = torch.distributions.Normal(mean, mean * 0.0 + self.std)
        return self.distribution.mean


class Extractor(nn.Module):
    """Stable-Baselines3: policy_net and value_net side by side."""

    def __init__(self):
        super().__init__()
        self.policy_net, self.value_net = mlp(9, 16, 8, end=True), mlp(9, 16, 8, end=True)

    def forward(self, features):
        return self.policy_net(features), self.value_net(features)


class Normaliser(nn.Module):
    """An observation normaliser that counts in training mode."""

    def __init__(self, n):
        super().__init__()
        self.register_buffer("mean", torch.randn(n))
        self.register_buffer("var", torch.rand(n) + 0.2)
        self.register_buffer("count", torch.tensor(5, dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.count += x.shape[0]
            self.mean += x.mean(0)
        return ((x - self.mean) / torch.sqrt(self.var + 1e-8)).clamp(min=-5.0, max=5.0)


class Blocks(nn.Module):
    """Layers in lists and dicts, with one of them used twice, asserts and a flag."""

    def __init__(self, last=True):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)])
        self.acts = nn.ModuleDict({"gelu": nn.GELU(), "none": nn.Identity()})
        self.shared = self.layers[1]
        self.out = nn.Linear(8, 2)
        self.last = last

    def forward(self, x: torch.Tensor, scale: float = 1.0, *, verbose: bool = False):
        assert isinstance(x, torch.Tensor), "a tensor"
        assert x.shape[-1] == 6
        if x.dim() == 1:
            x = x.unsqueeze(0)
        if x.ndim != 2 or x.dtype not in (torch.float32, torch.float64):
            raise ValueError("shape")
        for i, layer in enumerate(self.layers):
            x = self.acts["gelu" if i else "none"](layer(x))
        x = torch.tanh(self.shared(x)) * scale
        self.features = x.detach()
        if verbose:
            print(x.mean())
        return self.out(x) if self.last else x


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = mlp(16, 8, 3), mlp(3, 8, 16)

    def forward(self, x):
        b, c, h, w = x.shape
        return torch.sigmoid(self.decoder(self.encoder(x.view(b, -1)))).view(b, c, h, w)


class Surrogate(nn.Module):
    """Inputs scaled to [-1, 1], outputs scaled back."""

    def __init__(self):
        super().__init__()
        self.net = mlp(3, 16, 16, 2)
        self.lb, self.ub = torch.tensor([-1.0, 0, 2]), torch.tensor([1.0, 5, 4])
        self.register_buffer("y_mean", torch.randn(2))
        self.register_buffer("y_std", torch.rand(2) + 0.1)

    def forward(self, x):
        x = 2.0 * (x - self.lb) / (self.ub - self.lb) - 1.0
        return self.net(x.float() if x.dtype == torch.float16 else x) * self.y_std + self.y_mean


class Torso(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten())
        self.net = nn.Sequential(mlp(6, 8, end=True), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.head = nn.LazyLinear(3)
        self.head(torch.zeros(1, 8))

    def forward(self, inputs, **kwargs):
        return ModelOutput(logits=self.head(self.net(self.embed(inputs))))


REPOSITORIES = {
    "CleanRL actor": (Actor, (17,), {}),
    "CleanRL SAC, mean": (GaussianActor, (17,), {"output": 0}),
    "CleanRL SAC, deviation": (GaussianActor, (17,), {"output": 1}),
    "critic of two inputs": (QNetwork, (17, 6), {"in_features": (17, 6)}),
    "critic of two inputs, not said": (QNetwork, (17, 6), {}),
    "normalised inputs": (NormalisedInputs, (5, 3), {}),
    "rsl_rl": (ActorCritic, (9,), {}),
    "Stable-Baselines3": (Extractor, (9,), {"output": 0}),
    "normaliser": (lambda: nn.Sequential(Normaliser(5), mlp(5, 8, 2)), (5,), {}),
    "blocks": (Blocks, (6,), {}),
    "blocks without the last": (lambda: Blocks(last=False), (6,), {}),
    "surrogate": (Surrogate, (3,), {}),
    "transformers": (Torso, (6,), {}),
    "transformers by key": (Torso, (6,), {"output": "logits"}),
}


@pytest.mark.parametrize("name", REPOSITORIES)
@pytest.mark.parametrize("dtype", [torch.float64], ids=str)
def test_repositories(name, dtype):
    make, widths, options = REPOSITORIES[name]
    check(make().to(dtype).eval(), *widths, dtype=dtype, **options)


@pytest.mark.parametrize("first", [nn.Hardtanh(-2, 2), nn.Tanh(), nn.ReLU6(), nn.Identity()])
def test_a_function_before_the_first_layer(first):
    check(nn.Sequential(nn.Dropout(0.1), nn.Sequential(first), mlp(5, 8, 2)).eval(), 5)


def test_images_go_in_and_out_flat():
    module = Autoencoder().double().eval()
    net = ln.from_torch(module)
    x = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = module(x).reshape(5, -1).numpy()
    assert_agrees(net, x.reshape(5, -1).numpy(), expected, folded=True)


def test_weights_keep_their_bits():
    module = Blocks()
    net = ln.from_torch(module)
    linears = [*module.layers, module.shared, module.out]
    for layer, linear in zip(net.layers, linears, strict=True):
        assert np.array_equal(layer.weight, linear.weight.detach().numpy())
        assert np.array_equal(layer.bias, linear.bias.detach().numpy())
    zero = Module(lambda m, x: torch.relu(m.a(x)), a=nn.Linear(3, 2))
    nn.init.zeros_(zero.a.bias)
    assert ln.from_torch(zero).layers[0].bias is not None


def test_a_single_column_without_its_axis_is_a_column():
    net = ln.from_torch(Module(lambda m, x: m.a(x).squeeze(-1), a=nn.Linear(4, 1)))
    assert net(np.zeros((7, 4))).shape == (7, 1)


class Categorical(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.net, self.part = mlp(4, 8, 3), part

    def forward(self, x):
        return getattr(torch.distributions.Categorical(logits=self.net(x)), self.part)


@pytest.mark.parametrize(("part", "head"), [("logits", "log_softmax"), ("probs", "softmax")])
def test_a_categorical_distribution(part, head):
    assert check(Categorical(part), 4).head == head


class Inferring(nn.Module):
    """In inference mode PyTorch does not take its operations apart."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            lin(4, 8), nn.BatchNorm1d(8), nn.PReLU(), nn.Dropout(0.5), lin(8, 8)
        )

    @torch.inference_mode()
    def forward(self, x):
        x = F.celu(F.selu(self.net(x))).reshape(len(x), -1)
        x = torch.einsum("bi,oi->bo", F.logsigmoid(x), self.net[4].weight)
        return torch.matmul(x, self.net[4].weight.T).softmax(-1)


def test_inference_mode():
    assert check(Inferring().eval(), 4).head == "softmax"
