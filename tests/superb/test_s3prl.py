"""Inside the real S3PRL: what its own upstream tests check, of our upstreams."""

from __future__ import annotations

import random

import pytest
import torch

from streaming_wavlm.presets import UPSTREAMS
from streaming_wavlm.superb import register
from streaming_wavlm.superb.upstream import UpstreamExpert
from tiny import noise, tiny_model, worst

pytestmark = pytest.mark.usefixtures("hub")


def test_the_names_are_on_the_hub_once(hub) -> None:
    register()
    assert [name for name in hub.options() if name.startswith("streaming_wavlm")] == list(UPSTREAMS)
    assert set(UPSTREAMS) <= set(hub.options(only_registered_ckpt=True))


def test_the_other_upstreams_are_still_there_and_work(hub) -> None:
    fbank = hub.fbank()
    out = fbank([torch.randn(16000)])["hidden_states"]
    assert out[0].shape == (1, 98, 240)


@pytest.mark.parametrize("name", ["streaming_wavlm", "streaming_wavlm_200ms", "streaming_wavlm_offline"])
def test_s3prls_wrapper_gives_the_lengths_it_promises(name, checkpoint) -> None:
    from s3prl.nn import S3PRLUpstream

    upstream = S3PRLUpstream(name, str(checkpoint))
    assert (upstream.num_layers, upstream.hidden_sizes, upstream.downsample_rates) == (2, [16] * 2, [320] * 2)
    wavs_len = torch.tensor([16000, 1, 12345, 15999])
    hidden, lengths = upstream(torch.randn(4, 16000), wavs_len)
    expected = [-(-int(n) // 320) for n in wavs_len]
    assert all(
        h.shape == (4, 50, 16) and n.tolist() == expected for h, n in zip(hidden, lengths, strict=True)
    )


def test_s3prls_wrapper_takes_the_shortest_inputs_it_allows(checkpoint) -> None:
    from s3prl.nn import S3PRLUpstream

    upstream = S3PRLUpstream("streaming_wavlm", str(checkpoint))
    hidden, lengths = upstream(torch.randn(2, 800), torch.tensor([800, 640]))
    assert hidden[0].shape == (2, 3, 16)
    assert lengths[0].tolist() == [3, 2]
    hidden, lengths = upstream(torch.randn(1, 10), torch.tensor([10]))
    assert hidden[0].shape == (1, 1, 16)


def test_s3prls_wrapper_passes_extra_options_and_randomizes(checkpoint) -> None:
    from s3prl.nn import S3PRLUpstream

    options = {"model_config": {"chunk_ms": 80}, "another": 1}
    told = S3PRLUpstream("streaming_wavlm", str(checkpoint), extra_conf=options)
    assert told.upstream.model.config.chunk_ms == 80
    randomized = S3PRLUpstream("streaming_wavlm", str(checkpoint), refresh=True, randomize=True)
    weights = [expert.upstream.model.feature_proj.weight for expert in (told, randomized)]
    assert not torch.equal(*weights)


def test_train_and_eval_have_the_same_layers_and_gradients_flow(checkpoint) -> None:
    from s3prl.nn import Featurizer, S3PRLUpstream

    upstream = S3PRLUpstream("streaming_wavlm_400ms", str(checkpoint))
    featurizer = Featurizer(upstream)
    wavs, lengths = torch.randn(2, 16000), torch.tensor([16000, 9000])
    counts = []
    for mode in (upstream.eval, upstream.train):
        mode()
        counts.append(len(upstream(wavs, lengths)[0]))
    assert counts == [2, 2]
    features, _ = featurizer(*upstream(wavs, lengths))
    features.sum().backward()
    assert all(p.grad is not None for p in featurizer.parameters())
    assert upstream.upstream.model.feature_proj.weight.grad.any()


def test_the_runners_featurizer_cuts_each_recording_to_its_own_length() -> None:
    from s3prl.upstream.interfaces import Featurizer

    upstream = UpstreamExpert(tiny_model(dtype=torch.float32))
    featurizer = Featurizer(upstream, "hidden_states", upstream_device="cpu")
    assert (featurizer.output_dim, featurizer.downsample_rate, featurizer.layer_num) == (16, 320, 2)
    wavs = [noise(n, seed=n, dtype=torch.float32) for n in (16000, 8100, 799)]
    cut = featurizer(wavs, upstream(wavs))
    assert [len(features) for features in cut] == [round(len(wav) / 320) for wav in wavs]
    for wav, features in zip(wavs, cut, strict=True):
        alone = featurizer([wav], upstream([wav]))[0]
        assert worst([features], [alone]) < 1e-5


@pytest.mark.parametrize("selection", ["SID", "PR", "last_hidden_state", "hidden_states"])
def test_the_runners_featurizer_takes_every_key(selection) -> None:
    from s3prl.upstream.interfaces import Featurizer

    upstream = UpstreamExpert(tiny_model(dtype=torch.float32))
    featurizer = Featurizer(upstream, selection, upstream_device="cpu", layer_selection=None)
    wavs = [noise(n, dtype=torch.float32) for n in (5000, 6000)]
    assert [len(features) for features in featurizer(wavs, upstream(wavs))] == [16, 19]


def test_lengths_stay_within_what_the_featurizer_tolerates() -> None:
    from s3prl.upstream.interfaces import TOLERABLE_SEQLEN_DIFF

    rng = random.Random(0)
    upstream = UpstreamExpert(tiny_model())
    for samples in [rng.randrange(800, 40000) for _ in range(30)]:
        frames = upstream([noise(samples)])["last_hidden_state"].shape[1]
        assert abs(frames - round(samples / 320)) < TOLERABLE_SEQLEN_DIFF
