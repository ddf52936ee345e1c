"""Normalisers beside a network in a checkpoint: folded, or left by the user's word, never lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from frameworks import assert_agrees
from torch import nn

import laminet as ln
from laminet.cli import main

# Wide enough for every normaliser to clip some.
X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double() * 20
MEAN = torch.tensor([1.0, -20.0, 0.5]).double()
VARIANCE = torch.tensor([4.0, 0.25, 90.0]).double()
FUNCTIONS = ["elu", "elu", "identity"]


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trunk():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.ELU(), nn.Linear(8, 6), nn.ELU()).double()


def head(outputs):
    return nn.Linear(6, outputs).double()


def prefixed(prefix, tensors):
    tensors = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return {f"{prefix}.{k}": v for k, v in tensors.items()}


def check(path, part, expected, **kwargs):
    with torch.no_grad():
        assert_agrees(
            ln.load(path, FUNCTIONS, part=part, **kwargs), X.numpy(), expected.numpy(), folded=True
        )


def skrl():
    hidden, policy, value = trunk(), head(2), head(1)
    statistics = {"running_mean": MEAN, "running_variance": VARIANCE}
    of_values = {"running_mean": MEAN[:1], "running_variance": VARIANCE[:1]}
    count = {"current_count": torch.tensor(9.0).double()}
    contents = {
        "policy": {
            **prefixed("net_container", hidden),
            **prefixed("policy_layer", policy),
            "log_std_parameter": torch.zeros(2),
        },
        "value": {**prefixed("net_container", hidden), **prefixed("value_layer", value)},
        "optimizer": {"state": {}, "param_groups": []},
        "state_preprocessor": statistics | count,
        "value_preprocessor": of_values | count,
    }
    torch.save(contents, "skrl.pt")
    x = ((X - MEAN) / (VARIANCE.sqrt() + 1e-8)).clamp(-5, 5)
    y = VARIANCE[:1].sqrt() * value(hidden(x)).clamp(-5, 5) + MEAN[:1]
    return policy(hidden(x)), y, policy(hidden(X))


@pytest.mark.parametrize("part", ["policy", "actor"])
def test_skrl(part):
    actions, values, raw = skrl()
    message = r'normalised by \'state_preprocessor\', of skrl: clip.*normalizer="fold".*"leave"'
    with pytest.raises(ln.FormatError, match=message):
        ln.load("skrl.pt", FUNCTIONS, part=part)
    check("skrl.pt", part, actions, normalizer="fold")
    check("skrl.pt", part, raw, normalizer="leave")
    check("skrl.pt", "value", values, normalizer="fold")
    with pytest.raises(ValueError, match='must be "fold" or "leave", got \'drop\''):
        ln.load("skrl.pt", FUNCTIONS, part=part, normalizer="drop")


def test_the_command_line_says_it_too(capsys):
    actions, _, _ = skrl()
    arguments = ["skrl.pt", "net.safetensors", "--part", "actor"]
    arguments += ["--activations", ",".join(FUNCTIONS)]
    assert main(["convert", *arguments]) == 2
    assert "state_preprocessor" in capsys.readouterr().err
    assert main(["convert", *arguments, "--normalizer", "fold"]) == 0
    net = ln.load("net.safetensors")
    assert_agrees(net, X.numpy(), actions.detach().numpy(), folded=True)
    assert main(["info", "skrl.pt"]) == 0
    assert "normaliser 'state_preprocessor', of skrl: clip(" in capsys.readouterr().out


def test_rl_games():
    hidden, mu, value = trunk(), head(2), head(1)
    count = {"count": torch.tensor(9.0).double()}
    model = {
        **prefixed("a2c_network.actor_mlp", hidden),
        **prefixed("a2c_network.mu", mu),
        **prefixed("a2c_network.value", value),
        "a2c_network.sigma": torch.zeros(2),
        **prefixed("running_mean_std", {"running_mean": MEAN, "running_var": VARIANCE} | count),
        **prefixed(
            "value_mean_std", {"running_mean": MEAN[:1], "running_var": VARIANCE[:1]} | count
        ),
    }
    torch.save({"model": model, "epoch": 3, "frame": 5, "last_mean_rewards": np.float32(2)}, "a")
    x = ((X - MEAN) / (VARIANCE + 1e-5).sqrt()).clamp(-5, 5)
    check("a", "actor", mu(hidden(x)))
    y = (VARIANCE[:1] + 1e-5).sqrt() * value(hidden(x)).clamp(-5, 5) + MEAN[:1]
    check("a", "critic", y)
    check("a", "actor", mu(hidden(X)), normalizer="leave")


def test_rsl_rl():
    hidden, mu, value = trunk(), head(2), head(1)
    statistics = {"_mean": MEAN[None], "_var": VARIANCE[None], "_std": VARIANCE.sqrt()[None]}
    others = {"_mean": MEAN[None] + 1, "_var": VARIANCE[None], "_std": VARIANCE.sqrt()[None]}
    count = {"count": torch.tensor(9)}
    actor, critic = nn.Sequential(*hidden, mu), nn.Sequential(*hidden, value)
    torch.save(
        {
            "model_state_dict": prefixed("actor", actor) | prefixed("critic", critic),
            "obs_norm_state_dict": statistics | count,
            "privileged_obs_norm_state_dict": others | count,
            "iter": 5,
        },
        "a",
    )
    torch.save(
        {
            "actor_state_dict": prefixed("mlp", actor)
            | prefixed("obs_normalizer", statistics | count),
            "critic_state_dict": prefixed("mlp", critic)
            | prefixed("obs_normalizer", others | count),
        },
        "b",
    )
    for name in "ab":
        check(name, "actor", actor((X - MEAN) / (VARIANCE.sqrt() + 0.01)))
        check(name, "critic", critic((X - MEAN - 1) / (VARIANCE.sqrt() + 0.01)))


def test_ml_agents():
    hidden, mu, value = trunk(), head(2), head(1)
    steps = torch.tensor(50)

    def body(end, layer):
        normalizer = {
            "normalization_steps": steps,
            "running_mean": MEAN,
            "running_variance": VARIANCE * 50,
        }
        return {
            **prefixed("network_body.observation_encoder.processors.0.normalizer", normalizer),
            **prefixed("network_body._body_endoder.seq_layers", hidden),
            **prefixed(end, layer),
        }

    contents = {
        "Policy": body("action_model._continuous_distribution.mu", mu)
        | {"action_model._continuous_distribution.log_sigma": torch.zeros(1, 2)}
        | {"version_number": torch.tensor(3.0)},
        "Optimizer:value_optimizer": {"state": {}, "param_groups": []},
        "Optimizer:critic": body("value_heads.value_heads.extrinsic", value),
        "global_step": {"_GlobalSteps__global_step": torch.tensor([4])},
    }
    torch.save(contents, "a")
    x = ((X - MEAN) / VARIANCE.sqrt()).clamp(-5, 5)
    for part in ("actor", "Policy", "policy"):
        check("a", part, mu(hidden(x)))
    for part in ("critic", "Optimizer:critic"):
        check("a", part, value(hidden(x)))


class Statistics:
    """An object as libraries pickle it beside a state dict."""

    def __init__(self):
        self.mean = np.zeros(3)


@pytest.mark.parametrize(
    "beside",
    [
        {"mean": MEAN, "std": VARIANCE},
        {"obs_mean": MEAN.numpy(), "obs_std": VARIANCE.numpy()},
        {"obs_rms": Statistics()},
        {"normalizer": {"mean": MEAN, "var": VARIANCE}},
        {"scaler": {"running_mean": MEAN, "running_var": VARIANCE}},
        {"running_mean_std": Statistics()},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_a_normaliser_of_an_unknown_kind(beside):
    net = nn.Sequential(*trunk(), head(2))
    torch.save({"state_dict": net.state_dict(), **beside}, "a")
    for choice in (None, "fold"):
        with pytest.raises(ln.FormatError, match="of a kind that is not known"):
            ln.load("a", FUNCTIONS, normalizer=choice)
    with torch.no_grad():
        expected = net(X).numpy()
    assert_agrees(ln.load("a", FUNCTIONS, normalizer="leave"), X.numpy(), expected)


def test_buffers_of_the_module_itself():
    net = nn.Sequential(*trunk(), head(2))
    torch.save({**net.state_dict(), "obs_mean": MEAN, "obs_std": VARIANCE}, "a")
    with pytest.raises(ln.FormatError, match="'obs_mean and obs_std', of a kind that is not"):
        ln.load("a", FUNCTIONS)


def test_a_normaliser_of_another_width():
    net = nn.Sequential(*trunk(), head(2))
    wide = {"_mean": torch.zeros(1, 4), "_var": torch.ones(1, 4), "_std": torch.ones(1, 4)}
    contents = {"model": net.state_dict(), "obs_norm": wide | {"count": torch.tensor(3)}}
    torch.save(contents, "a")
    with pytest.raises(ln.FormatError, match="the normalisation of 'obs_norm' is not one of 3 in"):
        ln.load("a", FUNCTIONS)


def beside(**extra):
    torch.save({"model": prefixed("net", trunk()) | prefixed("out", head(2)), **extra}, "beside.pt")


UNNAMED = {
    "range": {"x_min": MEAN, "x_max": MEAN},
    "Greek": {"mu": MEAN, "sigma": MEAN},
    "line": {"input_offset": MEAN, "input_scale": MEAN},
    "center": {"center": MEAN},
    "any name, a number for each input": {"of_whatever_it_is": MEAN},
    "lists": {"scaler_mean": [0.1] * 3, "scaler_scale": [2.0] * 3},
    "a mapping of lists": {"stats": {"mean": [1.0] * 3, "std": [2.0] * 3}},
    "a mapping of one kind": {"obs_rms": {"mean": [1.0] * 3, "var": [1.0] * 3}},
    "numbers": {"x_mean": 1.5, "x_std": 2.5},
}


@pytest.mark.parametrize("extra", UNNAMED.values(), ids=UNNAMED)
def test_what_may_normalise_under_any_name(extra):
    beside(**extra)
    with pytest.raises(ln.FormatError, match='normalizer="leave" reads the layers alone'):
        ln.load("beside.pt", FUNCTIONS)
    with pytest.raises(ln.FormatError, match="of a kind that is not known"):
        ln.load("beside.pt", FUNCTIONS, normalizer="fold")
    assert ln.load("beside.pt", FUNCTIONS, normalizer="leave").sizes == (3, 8, 6, 2)


def test_what_normalises_nothing():
    beside(epoch=3, loss=0.25, lr=1e-3, log_std=torch.zeros(3), best_mean_reward=5.0, seed=1)
    assert ln.load("beside.pt", FUNCTIONS).sizes == (3, 8, 6, 2)
    with pytest.raises(ValueError, match="there is no normaliser of this network in the file"):
        ln.load("beside.pt", FUNCTIONS, normalizer="fold")
