"""Pictures of no known class: their score, the threshold, and what a user of a model sees of both."""

import numpy as np
import pandas as pd
import pytest
import torch
from cards import card
from PIL import Image
from scipy.special import logsumexp

from longtail.config.load import ConfigError, load_config
from longtail.inference.onnx import metadata
from longtail.inference.page import model_page
from longtail.inference.unknown import known_scores, known_threshold
from longtail.models import build_model
from longtail.models.file import load_model, save_model
from longtail.predict import SOME_FAILED, main


def test_the_score_is_the_log_of_the_sum_over_the_classes_of_the_calibrated_logits():
    logits = np.random.default_rng(0).normal(0, 5, (20, 2)).astype(np.float32)
    found = known_scores(torch.from_numpy(logits), card(logit_scale=3.0, temperature=1.5))
    np.testing.assert_allclose(found, logsumexp(2 * logits.astype(np.float64), axis=1), rtol=1e-12)


@pytest.mark.parametrize(("count", "share"), [(19, 0.05), (39, 0.05), (99, 0.1), (57, 0.08)])
def test_new_pictures_of_known_classes_are_rejected_as_seldom_as_stated(count, share):
    rng = np.random.default_rng(1)
    rejected = []
    for _ in range(4000):
        scores = rng.standard_cauchy(count + 1)
        rejected.append(scores[-1] < known_threshold(scores[:-1], share))
    # The k-th smallest of n scores rejects another one in k / (n + 1) of all cases.
    expected = int(share * (count + 1) + 1e-9) / (count + 1)
    assert expected <= share
    assert np.mean(rejected) == pytest.approx(expected, abs=4 * np.sqrt(share / 4000))


@pytest.mark.parametrize(("share", "least"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.5, 1), (0.03, 33)])
def test_too_few_pictures_tell_no_threshold(share, least):
    assert known_threshold(np.arange(least), share) == 0
    with pytest.raises(
        ValueError, match=f"{least - 1} validation images cannot show .* of {share:g}; {least} can"
    ):
        known_threshold(np.arange(least - 1), share)


@pytest.fixture
def pictures(tmp_path):
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_bytes(b"none")
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_says_which_pictures_show_no_known_class(pictures, ending):
    torch.manual_seed(0)
    network = build_model("resnet8", num_classes=2, image_size=8)
    model, out = pictures / "model.safetensors", pictures.with_name(f"{pictures.name}-out.{ending}")
    save_model(model, network.state_dict(), card())
    words = [str(model), str(pictures), "--output", str(out), "--threads", "1"]
    assert main(words) == SOME_FAILED
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    plain = read(out)
    assert "known" not in plain
    readable = plain["error"].isna() | (plain["error"] == "")

    images = torch.stack(
        [
            torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
            for path in plain.loc[readable, "path"]
        ]
    )
    facts = card()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (facts.mean, facts.std))
    loaded, _ = load_model(model)
    with torch.no_grad():
        scores = loaded((images / 255 - mean) / std).double().logsumexp(1).numpy()
    threshold = float(np.sort(scores)[2:4].mean())
    save_model(model, network.state_dict(), card(known_from=threshold))
    assert main(words) == SOME_FAILED
    frame = read(out)
    assert list(frame.columns) == [*plain.columns[:-1], "known", "error"]
    assert frame.drop(columns="known").equals(plain)
    assert frame.loc[readable, "known"].astype(bool).tolist() == (scores >= threshold).tolist()
    assert 0 < (scores >= threshold).sum() < len(scores)
    assert frame.loc[~readable, "known"].isna().all()


def test_the_page_and_the_onnx_file_say_what_is_unknown():
    told = card(known_from=2.5, temperature=2.0, recipe={**card().recipe, "false_rejection": 0.05})
    assert "threshold 2.500, of which 5.0% are called unknown by mistake" in model_page(
        told, file="m.safetensors"
    )
    assert metadata(told)["known"] == "where log(sum(exp(0.5 * logits))) over the classes is at least 2.5"
    assert "known" not in metadata(card())
    assert "known: False" not in model_page(card(), file="m.safetensors")


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match=r"train.false_rejection: found"):
        load_config({"train": {"false_rejection": share}})
    assert load_config({"train": {"false_rejection": None}}).train.false_rejection is None
