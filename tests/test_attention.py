"""The relative bias and the gated attention against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from streaming_wavlm.attention import GatedAttention, RelativeBias, relative_buckets
from tiny import noise


def plain_bucket(distance: int, num_buckets: int, max_distance: int) -> int:
    half = num_buckets // 2
    exact = half // 2
    offset = half if distance > 0 else 0
    away = abs(distance)
    if away < exact:
        return offset + away
    far = exact + math.log(away / exact) / math.log(max_distance / exact) * (half - exact)
    return offset + min(int(far), half - 1)


@pytest.mark.parametrize(("num_buckets", "max_distance"), [(320, 800), (32, 128)])
def test_buckets_are_exact_near_and_logarithmic_far(num_buckets, max_distance) -> None:
    distances = torch.arange(-2 * max_distance, 2 * max_distance)
    ours = relative_buckets(distances, num_buckets, max_distance).tolist()
    plain = [plain_bucket(d, num_buckets, max_distance) for d in distances.tolist()]
    # The published models compute in single precision: an edge may fall one bucket to either side.
    assert max(abs(a - b) for a, b in zip(ours, plain, strict=True)) <= 1
    assert sum(a != b for a, b in zip(ours, plain, strict=True)) <= 4
    assert min(ours) == 0
    assert max(ours) == num_buckets - 1


def test_the_bias_of_a_feed_is_the_table_read_by_distance() -> None:
    bias = RelativeBias(32, 2, 64).double()
    queries, cached = 5, 7
    whole = bias.by_distance(queries, cached + queries, cached)
    assert whole.shape == (2, queries, cached + queries)
    for query in range(queries):
        for key in range(cached + queries):
            distance = torch.tensor(key - cached - query)
            expected = bias.weight[relative_buckets(distance, 32, 64)]
            assert torch.equal(whole[:, query, key], expected)


def test_attention_is_softmax_of_scores_plus_gated_bias() -> None:
    torch.manual_seed(0)
    attention = GatedAttention(8, 2, 0.0).double()
    torch.nn.init.normal_(attention.gru_rel_pos_const)
    inputs, bias = noise(1, 4, 8), noise(2, 4, 6, seed=1)
    past = (noise(1, 2, 2, 4, seed=2), noise(1, 2, 2, 4, seed=3))
    visible = torch.ones(1, 1, 4, 6, dtype=torch.bool)
    visible[..., 1, 5] = False
    out, (keys, values) = attention(inputs, bias, visible, past)
    query, key, value = (attention.qkv_proj(inputs)[0, :, i * 8 : (i + 1) * 8] for i in range(3))
    expected = torch.zeros(4, 8, dtype=torch.float64)
    for head in range(2):
        part = slice(head * 4, head * 4 + 4)
        k = torch.cat([past[0][0, head], key[:, part]])
        v = torch.cat([past[1][0, head], value[:, part]])
        assert torch.allclose(keys[0, head], k)
        assert torch.allclose(values[0, head], v)
        for frame in range(4):
            raw = attention.gru_rel_pos_linear(inputs[0, frame, part])
            update, reset = torch.sigmoid(raw[:4].sum()), torch.sigmoid(raw[4:].sum())
            gate = update * (reset * attention.gru_rel_pos_const[0, head, 0, 0] - 1) + 2
            scores = k @ query[frame, part] / 2 + gate * bias[head, frame]
            scores = torch.where(visible[0, 0, frame], scores, -torch.inf)
            expected[frame, part] = scores.softmax(0) @ v
    assert torch.allclose(out[0], attention.out_proj(expected), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_frame_that_sees_nothing_stays_finite(dtype) -> None:
    attention = GatedAttention(8, 2, 0.0).to(dtype)
    bias = torch.full((2, 3, 3), -50.0, dtype=dtype)
    out, _ = attention(noise(1, 3, 8, dtype=dtype), bias, torch.zeros(1, 1, 3, 3, dtype=torch.bool), None)
    assert out.isfinite().all()
