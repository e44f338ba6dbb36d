"""Some training steps, timed: `python -m btxrd.sweep.trial`, started by `pace.py`.

Stdin gives the config of a run, pickled, and a line when to go; stdout takes `Trial` as JSON.
"""

import json
import pickle
import resource
import sys
import time

from btxrd.schema import Config
from btxrd.sweep.pace import READY

WARM_UP, STEPS, SECONDS = 2, 6, 4.0  # at least so many, and so long


def main() -> None:
    """Step on one batch in memory, in the way that a run does."""
    config: Config = pickle.load(sys.stdin.buffer)
    import torch
    from torch import nn

    from btxrd.acceleration import place
    from btxrd.device import choose_device
    from btxrd.model.factory import create_model
    from btxrd.training import Step, adamw

    device = choose_device(config.device)
    network, size, batch = config.model, config.model.image_size, config.training.batch_size
    model = create_model(
        backbone=network.backbone,
        pretrained=False,
        attn_layer=network.attn_layer,
        image_size=size,
        gradcam_layer=network.gradcam_layer,
    )
    place(model, device).train()
    step = Step(model, nn.CrossEntropyLoss(), adamw(model, config.training.lr), device)
    images = torch.rand(batch, len(model.normalisation.mean), size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % 3
    for _ in range(WARM_UP):
        step(images, labels).item()
    print(READY, flush=True)
    sys.stdin.buffer.readline()
    steps, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS or steps < STEPS:
        step(images, labels).item()
        steps += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory *= 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"images_per_second": steps * batch / seconds, "memory": memory}), flush=True)


if __name__ == "__main__":
    main()
