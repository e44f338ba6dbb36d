"""Measure the throughput of training steps; `concurrency.py` runs this module as a program.

It reads the pickled config of a run from stdin, and starts when it reads a line. It prints the
fields of `Trial` as JSON.
"""

import json
import pickle
import sys
import time

from btxrd.config.schema import Config
from btxrd.execution.concurrency import READY
from btxrd.runtime.cores import memory, peak_memory

STEPS, SECONDS = 6, 4.0  # minimum number and duration


def main() -> None:
    """Train repeatedly on one batch in memory, with the training step of a run."""
    config: Config = pickle.load(sys.stdin.buffer)
    import numpy as np
    import torch
    from torch import nn

    from btxrd.data.batches import Batch
    from btxrd.evaluation.inference import predict
    from btxrd.model.factory import create_model
    from btxrd.runtime.device import choose_device, make_reproducible
    from btxrd.training.acceleration import to_device
    from btxrd.training.loop import LOSS_READ_INTERVAL
    from btxrd.training.loss import Objective
    from btxrd.training.step import Step, adamw

    make_reproducible(0)
    device = choose_device(config.device)
    network, size, batch = config.model, config.model.image_size, config.training.batch_size
    model = create_model(
        backbone=network.backbone,
        num_classes=3,
        pretrained=False,
        attn_layer=network.attn_layer,
        image_size=size,
        gradcam_layer=network.gradcam_layer,
        pooling=network.pooling,
    )
    to_device(model, device).train()
    objective = Objective(nn.CrossEntropyLoss())
    step = Step(model, objective, adamw(model, config.training.lr), device)
    images = torch.rand(batch, len(model.normalisation.mean), size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    drawn = Batch(images, torch.arange(batch, device=device) % 3)
    for _ in range(2):
        step(drawn).item()
    predict(model, np.zeros((64, size, size), np.uint8), np.arange(64))  # for its memory
    print(READY, flush=True)
    sys.stdin.buffer.readline()
    steps, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS or steps < STEPS:
        loss = step(drawn)
        steps += 1
        if steps % LOSS_READ_INTERVAL == 0 or device.type == "cpu":
            loss.item()
    share = peak_memory() / memory()
    on_gpu = 0.0
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        on_gpu = torch.cuda.max_memory_reserved() / total
    found = {"images_per_second": steps * batch / seconds, "memory": share, "on_gpu": on_gpu}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
