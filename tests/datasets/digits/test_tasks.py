import numpy as np
import pytest
import torch

from archwalk.datasets.digits.scenes import LABELS, SPLITS, make_scenes, surface_normals
from archwalk.datasets.digits.tasks import (
    LAYOUT_MEAN,
    LAYOUT_SCALE,
    PERMUTATIONS,
    TASKS,
    losses,
    make_data,
    scores,
    shuffle_tiles,
    tallies,
    task_named,
)
from archwalk.errors import BenchmarkError
from archwalk.tasks.metrics import METRICS
from tests.oracles import digits as oracle

IMAGES, CELLS = 12, 3


def guesses(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions somewhere near the targets, and the targets."""
    task, g = TASKS[name], torch.Generator().manual_seed(7)
    targets = make_data(task, "valid", IMAGES).targets
    shape = (IMAGES, CELLS, task.outputs, *([16, 16] if task.head == "pixels" else []))
    noise = torch.randn(*shape, generator=g)
    if task.loss == "mse":
        return targets.unsqueeze(1) + 0.2 * noise, targets
    truth = torch.nn.functional.one_hot(targets, task.outputs).movedim(-1, 1).unsqueeze(1)
    return 2 * truth + noise, targets


def test_names_and_metrics_are_those_of_the_counterparts() -> None:
    assert {t.name: t.metric for t in TASKS.values()} == {
        "autoencoder": "ssim",
        "class_object": "top1",
        "class_scene": "top1",
        "jigsaw": "top1",
        "normal": "ssim",
        "room_layout": "neg_loss",
        "segmentsemantic": "mIoU",
    }
    assert all(t.metric in METRICS for t in TASKS.values())
    with pytest.raises(BenchmarkError, match="jigsaw"):
        task_named("jigsaws")


@pytest.mark.parametrize("split", SPLITS)
def test_targets_come_from_the_scenes(split: str) -> None:
    s = make_scenes(split, 6)  # type: ignore[arg-type]
    data = {name: make_data(task, split, 6) for name, task in TASKS.items()}  # type: ignore[arg-type]
    plain = torch.from_numpy((s.image[:, None] - 0.5) / 0.25)
    for name in TASKS:
        if name != "jigsaw":
            torch.testing.assert_close(data[name].inputs, plain)
    np.testing.assert_array_equal(data["autoencoder"].targets[:, 0], s.image)
    np.testing.assert_array_equal(data["class_object"].targets, s.digit)
    np.testing.assert_array_equal(data["class_scene"].targets, s.kind)
    np.testing.assert_allclose(data["normal"].targets, surface_normals(s.height), atol=1e-6)
    np.testing.assert_array_equal(data["segmentsemantic"].targets, s.labels)
    back = data["room_layout"].targets.numpy() * LAYOUT_SCALE + LAYOUT_MEAN
    np.testing.assert_allclose(back, s.layout, atol=1e-6)


def test_jigsaw_moves_quarters_and_takes_their_brightness_away() -> None:
    s, data = make_scenes("test", 20), make_data(TASKS["jigsaw"], "test", 20)
    assert len(set(data.targets.tolist())) > 5
    for image, shown, which in zip(s.image, data.inputs[:, 0].numpy(), data.targets.tolist(), strict=True):
        for place, quarter in enumerate(PERMUTATIONS[which]):
            r, c = divmod(place, 2)
            got = shown[8 * r : 8 * r + 8, 8 * c : 8 * c + 8] * 0.25 + 0.5
            r, c = divmod(quarter, 2)
            want = image[8 * r : 8 * r + 8, 8 * c : 8 * c + 8]
            np.testing.assert_allclose(got, want - want.mean() + 0.5, atol=1e-5)


def test_shuffling_by_the_identity_only_shifts_brightness() -> None:
    image = np.random.default_rng(0).uniform(size=(2, 16, 16)).astype(np.float32)
    moved = shuffle_tiles(image, np.array([PERMUTATIONS[0]] * 2))
    np.testing.assert_allclose(np.gradient(moved[0, :8, :8])[0], np.gradient(image[0, :8, :8])[0], atol=1e-6)


def test_mean_layout_costs_one() -> None:
    targets = make_data(TASKS["room_layout"], "train", 2000).targets
    always_mean = torch.zeros(2000, 1, 4)
    assert abs(losses(TASKS["room_layout"], always_mean, targets).item() - 1) < 0.05


@pytest.mark.parametrize("name", TASKS)
def test_loss_against_the_slow_one(name: str) -> None:
    task, (predicted, targets) = TASKS[name], guesses(name)
    got = losses(task, predicted, targets)
    assert got.shape == (CELLS,)
    for k in range(CELLS):
        if task.loss == "mse":
            want = np.mean([(predicted[i, k] - targets[i]).square().mean().item() for i in range(IMAGES)])
        else:
            logits = predicted[:, k].flatten(2) if task.head == "pixels" else predicted[:, k, :, None]
            labels = targets.view(IMAGES, -1)
            want = np.mean(
                [
                    oracle.cross_entropy(logits[i, :, p].numpy(), int(labels[i, p]))
                    for i in range(IMAGES)
                    for p in range(labels.shape[1])
                ]
            )
        assert got[k].item() == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("name", TASKS)
def test_score_against_the_slow_one(name: str) -> None:
    task, (predicted, targets) = TASKS[name], guesses(name)
    tally = tallies(task, predicted[:5], targets[:5]) + tallies(task, predicted[5:], targets[5:])
    got = scores(task, tally, IMAGES).numpy()
    metric = METRICS[task.metric]
    assert got.shape == (CELLS,)
    assert (got >= metric.low).all()
    assert (got <= metric.high).all()
    for k in range(CELLS):
        own = predicted[:, k].double().numpy()
        true = targets.numpy()
        if task.metric == "top1":
            want = 100 * np.mean(own.argmax(1) == true)
        elif task.metric == "neg_loss":
            want = -np.mean((own - true) ** 2)
        elif task.metric == "mIoU":
            want = oracle.mean_iou(own.argmax(1), true, len(LABELS))
        else:
            low = -1 if name == "normal" else 0
            shown = np.clip((own - low) / (1 - low), 0, 1)
            meant = (true - low) / (1 - low)
            channels = range(task.outputs)
            want = np.mean([oracle.ssim(shown[i, c], meant[i, c]) for i in range(IMAGES) for c in channels])
        assert got[k] == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize("name", ["autoencoder", "normal", "segmentsemantic", "class_object", "room_layout"])
def test_the_truth_scores_best(name: str) -> None:
    task, (_, targets) = TASKS[name], guesses(name)
    if task.loss == "mse":
        predicted = targets.unsqueeze(1)
    else:
        predicted = torch.nn.functional.one_hot(targets, task.outputs).movedim(-1, 1).unsqueeze(1).float()
    best = {"ssim": 1.0, "mIoU": 100.0, "top1": 100.0, "neg_loss": 0.0}[task.metric]
    got = scores(task, tallies(task, predicted, targets), IMAGES).item()
    assert got == pytest.approx(best, abs=1e-4)
