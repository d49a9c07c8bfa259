# The PyTorch twin of train_step.c: images/s of one training step, eager, on the same networks.
#
# usage: python3 train_step.py [resnet20|resnet18] [threads] [seconds] [channels_last|contiguous] [batch]
# Prints one line: model, threads, memory format, median images/s, peak resident MB.
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, window, stride):
    return nn.Conv2d(inputs, outputs, window, stride, window // 2, bias=False)


class Block(nn.Module):
    """He's basic block; shortcut A subsamples and pads channels, B is a 1x1 convolution."""

    def __init__(self, inputs, outputs, stride, option):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)
        self.pad = outputs - inputs
        self.shortcut = None
        if self.pad and option == "B":
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad // 2, self.pad // 2))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, widths, blocks, option, classes=10):
        super().__init__()
        self.conv1, self.bn1 = conv(3, widths[0], 3, 1), nn.BatchNorm2d(widths[0])
        layers, inputs = [], widths[0]
        for stage, outputs in enumerate(widths):
            for i in range(blocks):
                layers.append(Block(inputs, outputs, 2 if stage and not i else 1, option))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


MODELS = {
    "resnet20": lambda: ResNet([16, 32, 64], 3, "A"),
    "resnet18": lambda: ResNet([64, 128, 256, 512], 2, "B"),
}


def peak_mb():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmHWM"))


def main(name="resnet20", threads=1, seconds=10.0, layout="channels_last", batch=128):
    torch.set_num_threads(int(threads))
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    batch = int(batch)
    model = MODELS[name]()
    x, label = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    if layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    rates, begin = [], time.perf_counter()
    while time.perf_counter() - begin < float(seconds) or len(rates) < 4:
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), label).backward()
        optimizer.step()
        rates.append(batch / (time.perf_counter() - start))
    print(f"{name} torch threads {threads} {layout} images/s {statistics.median(rates[1:]):.1f} "
          f"peak_mb {peak_mb()}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
