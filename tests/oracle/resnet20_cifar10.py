# ResNet-20 trained by PyTorch as trawl-trial trains it: the same images, schedule, kind of augmentation, and
# distributions of initial weights; another order of images and other random numbers.
#
# usage: python3 resnet20_cifar10.py ARCHIVE SEED [EPOCHS] [IMAGES] [THREADS]
# ARCHIVE holds the official binary files of CIFAR-10.  Prints the test accuracy after the last epoch.
import math
import os
import sys
import tarfile

import numpy
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bench"))
from train_step import MODELS  # noqa: E402

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH, RATE, MOMENTUM, DECAY, PADDING = 128, 0.1, 0.9, 1e-4, 4


def records(archive, prefix, limit):
    """Images (n, 3, 32, 32) as bytes, and labels, of the files whose names begin so."""
    with tarfile.open(archive) as tar:
        names = sorted(n for n in tar.getnames() if os.path.basename(n).startswith(prefix))
        raw = b"".join(tar.extractfile(n).read() for n in names)
    rows = numpy.frombuffer(raw, numpy.uint8).reshape(-1, 3073)[:limit]
    return torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(rows[:, 0].astype("int64"))


def normal(images):
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augmented(images):
    """Each image padded with black, cropped at random, and mirrored with probability 1/2."""
    padded, out = F.pad(images, (PADDING,) * 4), torch.empty_like(images)
    at = torch.randint(2 * PADDING + 1, (len(images), 2)).tolist()
    mirrored = torch.rand(len(images)).tolist()
    for i, (top, left) in enumerate(at):
        view = padded[i, :, top:top + 32, left:left + 32]
        out[i] = view.flip(2) if mirrored[i] < 0.5 else view
    return out


def start(model):
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, nn.Linear):
            bound = 1 / math.sqrt(m.in_features)
            nn.init.uniform_(m.weight, -bound, bound)
            nn.init.uniform_(m.bias, -bound, bound)


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        right = sum((model(normal(images[i:i + 500])).argmax(1) == labels[i:i + 500]).sum().item()
                    for i in range(0, len(images), 500))
    model.train()
    return right / len(images)


def train(model, images, labels, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    steps, step = math.ceil(len(images) / BATCH), 0
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / (steps * epochs)))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(normal(augmented(images[index]))), labels[index]).backward()
            optimizer.step()
            step += 1


def main(archive, seed, epochs=10, limit=10000, threads=2):
    torch.set_num_threads(int(threads))
    torch.manual_seed(int(seed))
    images, labels = records(archive, "data_batch", int(limit))
    model = MODELS["resnet20"]().to(memory_format=torch.channels_last)
    start(model)
    train(model, images, labels, int(epochs))
    print(f"{accuracy(model, *records(archive, 'test_batch', 10000)):.4f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
