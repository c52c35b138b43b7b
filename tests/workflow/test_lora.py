"""Fine-tuning few weights, through the workflow."""

import numpy as np
import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from workspace import DIGITS, Workspace

from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import read_parquet
from longtail.inference.logits import logits_of
from longtail.models.file import load_model


@pytest.mark.long
def test_a_transformer_is_tuned_by_lora_from_class_means_and_predicted_by_crops(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace")
    pretrained = timm.create_model("test_vit")
    save_file(pretrained.state_dict(), workspace.folder / "pretrained.safetensors")
    config = {
        "grid": {"models": ["vit"], "losses": ["lift"], "train_sets": ["longtailed"]},
        "models": {"vit": {"architecture": "timm/test_vit", "weights": "pretrained.safetensors"}},
        "losses": {
            "lift": {
                "loss": "logit_adjusted",
                "s": 25,
                "head": "cosine",
                "head_init": "class_means",
                "train": {"tune": "lora", "lora_rank": 2},
            }
        },
        "predict": {"crops": "five", "expand": 4},
        "data": {**DIGITS, "test_per_class": 10},
        "train": {"epochs": 2, "image_size": 32, "augment": "trivial", "flip": False, "batch_size": 64},
        "job": {"threads": 1},
    }
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    workspace.make_tensors("train_longtailed", "val", "test_balanced")
    run = workspace.folder / "results/runs/longtailed/vit/lift/seed42"
    workspace.snakemake(str((run / "predictions.parquet").relative_to(workspace.folder)))
    model, card = load_model(run / "model.safetensors")
    assert (card.head, card.logit_scale) == ("cosine", 25.0)
    assert (card.recipe["tune"], card.recipe["lora_rank"], card.recipe["augment"]) == ("lora", 2, "trivial")
    before = {
        name: weight for name, weight in pretrained.state_dict().items() if name != "pos_embed"
    }  # resized
    after = model.backbone.state_dict()
    moved = {name for name in after.keys() & before.keys() if not torch.equal(after[name], before[name])}
    assert moved == {f"blocks.{block}.attn.qkv.weight" for block in range(len(pretrained.blocks))}
    images = load_tensors(workspace.folder / "results/data/test_balanced.pth").images
    expected = logits_of(model, images, card, torch.device("cpu"), crops="five", expand=4)
    torch.testing.assert_close(
        torch.tensor(np.stack(read_parquet(run / "predictions.parquet")["logits"])),
        expected,
        rtol=0,
        atol=1e-4,
    )
