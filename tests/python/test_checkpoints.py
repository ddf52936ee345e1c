"""Checkpoints of PyTorch: the network that is meant among several, and never two joined."""

from __future__ import annotations

import argparse
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import expected, load, mlp, named
from frameworks import assert_agrees
from torch import nn

import laminet as ln
from laminet.cli import main

RELU = nn.ReLU()


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


GENERATOR, DISCRIMINATOR = mlp(2, 8, 5), mlp(5, 8, 1)
GAN = named(generator=GENERATOR, discriminator=DISCRIMINATOR)

SEVERAL = {
    "gan": (GAN, "'generator' 2-8-5; 'discriminator' 5-8-1", 'part="generator"'),
    "lightning": (
        {"state_dict": GAN, "epoch": 3, "optimizer_states": [{"state": {}, "param_groups": []}]},
        "'generator' 2-8-5; 'discriminator' 5-8-1",
        'part="generator"',
    ),
    "V and T": (
        named(V=nn.ModuleDict({"net": mlp(2, 16, 1)}), T=nn.ModuleDict({"net": mlp(1, 16, 1)})),
        "'V.net' 2-16-1; 'T.net' 1-16-1",
        'part="V.net"',
    ),
    "encoder and decoder": (
        named(encoder=mlp(8, 4, 2), decoder=mlp(2, 4, 8)),
        "'encoder' 8-4-2; 'decoder' 2-4-8",
        'part=["encoder", "decoder"]',
    ),
    "dicts": (
        {"policy": mlp(3, 4, 1).state_dict(), "baseline": mlp(1, 4, 1).state_dict()},
        "'policy' 3-4-1; 'baseline' 1-4-1",
        'part="policy"',
    ),
    "a layer beside": (
        named(policy=mlp(4, 8, 4), baseline=nn.Linear(4, 1)),
        "'policy' 4-8-4; 'baseline' 4-1",
        'part="policy"',
    ),
    "a layer of another name beside": (
        named(net=mlp(4, 8, 4), baseline=nn.Linear(4, 1)),
        "'net' 4-8-4; 'baseline' 4-1",
        'part="net"',
    ),
    "layers of two roles": (
        named(actor=nn.Linear(4, 3), critic=nn.Linear(3, 1)),
        "'actor' 4-3; 'critic' 3-1",
        'part="actor"',
    ),
    "a list of networks": (
        named(nets=nn.ModuleList([mlp(2, 8, 5), mlp(5, 8, 1)])),
        "'nets.0' 2-8-5; 'nets.1' 5-8-1",
        'part="nets.0"',
    ),
    "a trunk with heads": (
        named(fc1=nn.Linear(4, 8), fc2=nn.Linear(8, 8), a=nn.Linear(8, 2), b=nn.Linear(8, 1)),
        "'fc1', 'fc2' 4-8-8; 'a' 8-2; 'b' 8-1",
        'part=["fc1", "fc2", "a"]',
    ),
    "averaged weights": (
        {"state_dict": mlp(2, 8, 2).state_dict(), "ema_state_dict": mlp(2, 8, 2).state_dict()},
        "'ema' 2-8-2",
        'part="ema"',
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_networks_are_listed_and_not_joined(name):
    contents, listed, part = SEVERAL[name]
    for count in range(1, 6):
        with pytest.raises(ln.FormatError) as caught:
            load(contents, ["relu"] * count)
        assert str(caught.value).startswith("file: ")
        assert listed in str(caught.value)
        assert part in str(caught.value)
    with pytest.raises(ln.FormatError, match=re.escape(listed)):
        load(contents)  # before anybody is asked for activations


@pytest.mark.parametrize("prefix", ["{}", "model.{}", "a.b.{}"])
@pytest.mark.parametrize("part", ["generator", "b.generator", "a/b/generator", "a.b.generator"])
def test_a_part_of_any_depth(prefix, part):
    if prefix != "a.b.{}" and part != "generator":
        part = prefix.format("generator")
    contents = {prefix.format(key): value for key, value in GAN.items()}
    x, y = expected(GENERATOR, 2)
    assert_agrees(load(contents, ["relu"] * 2, part=part), x, y)
    nested: dict = {}
    for key, value in GAN.items():
        module, last = key.split(".", 1)
        place = nested
        for level in prefix.format(module).split("."):
            place = place.setdefault(level, {})
        place[last] = value
    assert_agrees(load({"epoch": 1, **nested}, ["relu"] * 2, part=part), x, y)


def test_parts_in_order():
    encoder, decoder = mlp(8, 4, 2), mlp(2, 4, 8)
    contents = named(decoder=decoder, encoder=encoder)
    x, y = expected(nn.Sequential(encoder, decoder), 8)
    assert_agrees(load(contents, ["relu"] * 4, part=["encoder", "decoder"]), x, y)
    with pytest.raises(ln.FormatError, match=r"'decoder.0' takes 2 features, and 'decoder.2' b"):
        load(contents, ["relu"] * 4, part=["decoder", "decoder"])
    assert load(contents, ["relu"] * 2, part=["encoder.0", "encoder.2"]).sizes == (8, 4, 2)
    with pytest.raises(ln.FormatError, match="there is no part 'x'; there are 'decoder', 'enc"):
        load(contents, ["relu"], part="x")
    with pytest.raises(ln.FormatError, match=r"'net' is one of several: 'a.net', 'b.net'"):
        load({"a.net.weight": torch.ones(2, 2), "b.net.weight": torch.ones(2, 2)}, [], part="net")


ONE = mlp(3, 8, 4)


@pytest.mark.parametrize(
    "contents",
    [
        {"model": ONE.state_dict(), "epoch": 3, "loss": torch.tensor(0.5)},
        {"state_dict": {f"net.{k}": v for k, v in ONE.state_dict().items()}},
        {"model_state_dict": {f"module.{k}": v for k, v in ONE.state_dict().items()}},
        {"state_dict": {f"model._orig_mod.{k}": v for k, v in ONE.state_dict().items()}},
        {"net": ONE.state_dict(), "optim": torch.optim.Adam(ONE.parameters()).state_dict()},
        {"net": ONE.state_dict(), "args": argparse.Namespace(lr=1), "best": np.float64(3)},
        {**ONE.state_dict(), "log_std": torch.zeros(4)},
    ],
    ids=["model", "lightning", "module.", "compiled", "optimiser", "objects", "log_std"],
)
def test_one_network_among_other_things(contents):
    assert_agrees(load(contents, ["relu"] * 2), *expected(ONE, 3))


def test_a_sequence_and_the_layer_after_it():
    net, out = mlp(3, 8, 4), nn.Linear(4, 2)
    x, y = expected(nn.Sequential(net, out), 3)
    assert_agrees(load(named(net=net, out=out), ["relu", "relu", "identity"]), x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types(dtype):
    module = mlp(3, 8).to(dtype)
    net = load(module.state_dict(), ["relu"])
    assert net.dtype == ("float64" if dtype == torch.float64 else "float32")
    assert np.array_equal(net.layers[0].weight, module[0].weight.double().detach().numpy())


def sb3_policy():
    return nn.ModuleDict(
        {
            "mlp_extractor": nn.ModuleDict(
                {"policy_net": mlp(4, 16, 6), "value_net": mlp(4, 16, 8)}
            ),
            "action_net": nn.Linear(6, 2),
            "value_net": nn.Linear(8, 1),
        }
    )


def zipped(state_dict, name="ppo.zip"):
    torch.save(state_dict, "policy.pth")
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("_stable_baselines3_version", "2.0")
        archive.write("policy.pth")
    return name


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("file", ["policy.pth", "ppo.zip", "no_suffix"])
def test_stable_baselines3_on_policy(file, shared):
    policy = sb3_policy()
    extractor = policy["mlp_extractor"]
    trunk = nn.Identity()
    if shared:
        trunk = extractor["shared_net"] = mlp(4, 4)
    zipped({"log_std": torch.zeros(2), **policy.state_dict()})
    zipped({"log_std": torch.zeros(2), **policy.state_dict()}, "no_suffix")
    functions = ["relu"] * (2 + shared) + ["identity"]
    for part, hidden, last in (
        ("actor", "policy_net", "action_net"),
        ("critic", "value_net", "value_net"),
        ("value", "value_net", "value_net"),
    ):
        x, y = expected(nn.Sequential(trunk, extractor[hidden], policy[last]), 4)
        assert_agrees(ln.load(file, functions, part=part), x, y)
    with pytest.raises(ln.FormatError, match=r"2 networks, 'actor' 4-.*-2 .*; 'critic' 4-.*-1"):
        ln.load(file, functions)


def test_a_features_extractor_before_the_actor_is_not_passed_over():
    policy = sb3_policy()
    policy["features_extractor"] = nn.Linear(9, 4)
    with pytest.raises(ln.FormatError, match=r"'features_extractor' lies beside the layers of"):
        load(policy.state_dict(), ["relu"] * 2 + ["identity"], part="actor")


def test_stable_baselines3_off_policy():
    actor = nn.ModuleDict({"latent_pi": mlp(3, 8, 6), "mu": nn.Linear(6, 2)})
    actor["log_std"] = nn.Linear(6, 2)
    critic = nn.ModuleDict({"qf0": mlp(5, 8, 1), "qf1": mlp(5, 8, 1)})
    zipped(named(actor=actor, critic=critic, critic_target=critic))
    x, y = expected(nn.Sequential(actor["latent_pi"], actor["mu"], nn.Tanh()), 3)
    assert_agrees(ln.load("ppo.zip", ["relu", "relu", "tanh"], part="actor"), x, y)
    x, y = expected(critic["qf1"], 5)
    assert_agrees(ln.load("ppo.zip", ["relu"] * 2, part="critic.qf1"), x, y)
    with pytest.raises(ln.FormatError, match=r"'critic.qf0' 5-8-1; 'critic.qf1' 5-8-1"):
        ln.load("ppo.zip", ["relu"] * 2, part="critic")
    q = mlp(3, 8, 2)
    network = nn.ModuleDict({"q_net": q})
    zipped(named(q_net=network, q_net_target=nn.ModuleDict({"q_net": mlp(3, 8, 2)})))
    assert_agrees(ln.load("ppo.zip", ["relu"] * 2, part="q_net"), *expected(q, 3))


def test_actors_of_other_libraries():
    actor, critic = mlp(3, 8, 2), mlp(3, 8, 1)
    cleanrl = {**named(actor_mean=actor, critic=critic), "actor_logstd": torch.zeros(1, 2)}
    rsl_rl = {"model_state_dict": {**named(actor=actor, critic=critic), "std": torch.ones(2)}}
    newer = {"actor_state_dict": named(mlp=actor), "critic_state_dict": named(mlp=critic)}
    spinning = named(pi=nn.ModuleDict({"mu_net": actor}), v=nn.ModuleDict({"v_net": critic}))
    for contents in (cleanrl, rsl_rl, newer, spinning):
        assert_agrees(load(contents, ["relu"] * 2, part="actor"), *expected(actor, 3))
        assert_agrees(load(contents, ["relu"] * 2, part="critic"), *expected(critic, 3))


class Hostile:
    """Runs code when it is loaded by pickle."""

    def __reduce__(self):
        return exec, ("open('ran', 'w').close()",)


def test_no_code_of_a_file_is_run(tmp_path):
    for contents in (Hostile(), {"net": ONE.state_dict(), "more": Hostile()}):
        torch.save(contents, "file")
        try:
            ln.load("file", ["relu"] * 2)
        except ln.FormatError as error:
            assert "weights_only" in str(error)  # noqa: PT017 - the second is read
        assert main(["info", "file"]) in (0, 2)
        assert not (tmp_path / "ran").exists()


def test_a_tree_without_end_is_left():
    deep = {"a": torch.ones(1)}
    for _ in range(60):
        deep = {"x": deep, "y": deep}
    with pytest.raises(ln.FormatError, match="nested more than 16 deep"):
        load(deep, ["relu"])
    wide = {"a": torch.ones(1)}
    for _ in range(6):
        wide = {str(i): wide for i in range(12)}
    with pytest.raises(ln.FormatError, match="more than 100000 entries"):
        load(wide, ["relu"])
    circle = {}
    circle["x"] = circle
    with pytest.raises(ln.FormatError, match="nested more than 16 deep"):
        load(circle, ["relu"])


def test_a_zip_bomb_is_not_unpacked():
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("policy.pth", bytes(2**27))
    with pytest.raises(ln.FormatError, match="claims to hold 134217728: more than weights do"):
        ln.load("bomb.zip", ["relu"])
    with open("bomb.zip", "r+b") as file:
        file.truncate(10_000)
    with pytest.raises(ln.FormatError, match=r"bomb.zip: a zip archive that is damaged"):
        ln.load("bomb.zip", ["relu"])


@pytest.mark.parametrize("name", ["..x.weight", ".weight", "a..weight", "a.", ""])
def test_names_with_empty_parts_are_refused(name):
    """They would be other names once joined again."""
    with pytest.raises(ln.FormatError, match=f"the name '{re.escape(name)}' has an empty part"):
        load({"0.weight": torch.ones(2, 3), name: torch.ones(2, 2)}, ["relu"])


def test_an_archive_that_lost_bytes_is_damaged():
    """Members then begin before the file does, which the operating system calls another error."""
    buffer = io.BytesIO()
    torch.save(mlp(4, 3).state_dict(), buffer)
    with zipfile.ZipFile("policy.zip", "w") as archive:
        archive.writestr("policy.pth", buffer.getvalue())
    whole = Path("policy.zip").read_bytes()
    Path("policy.zip").write_bytes(whole[:500] + whole[600:])
    with pytest.raises(ln.FormatError, match=r"^policy.zip: .*damaged"):
        ln.load("policy.zip", ["relu"])


def test_info_lists_what_a_checkpoint_holds(capsys):
    optimizer = torch.optim.Adam(GENERATOR.parameters())
    contents = {
        "state_dict": GAN,
        "epoch": 7,
        "opt": optimizer.state_dict(),
        "args": nn.Linear(4, 4),
    }
    torch.save(contents | {"log_alpha": torch.zeros(1), "args": GENERATOR[0]}, "gan.ckpt")
    assert main(["info", "gan.ckpt"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"'generator' +2-8-5", out)
    assert re.search(r"'discriminator' +5-8-1", out)
    for line in ("state of an optimiser: 'opt'", "'epoch': 7", "no part of a network: 'log_alpha'"):
        assert line in out
    assert "'args': torch.nn.modules.linear.Linear, not read" in out
    arguments = ["info", "gan.ckpt", "--part", "generator", "--activations", "relu,identity"]
    assert main(arguments) == 0
    assert "network 2-8-5, float32" in capsys.readouterr().out
    torch.save(named(encoder=mlp(8, 4, 2), decoder=mlp(2, 4, 8)), "ae.pt")
    arguments = ["--part", "encoder,decoder", "--activations", "relu,relu,relu,identity"]
    assert main(["convert", "ae.pt", "ae.safetensors", *arguments]) == 0
    assert ln.load("ae.safetensors").sizes == (8, 4, 2, 4, 8)
