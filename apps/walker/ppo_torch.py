"""The updates of one PPO iteration of the walker in PyTorch, for
bench walker --against "python3 apps/walker/ppo_torch.py": 640 minibatches of 32, 24-40-40-(4, 1), Adam, norm clip."""

import json
import math
import resource
import time

import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(24, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh())
        self.mean = nn.Linear(40, 4)
        self.value = nn.Linear(40, 1)
        self.log_std = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        h = self.trunk(x)
        return torch.tanh(self.mean(h)), self.value(h).squeeze(1)


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4, eps=1e-5)
seen, actions = torch.randn(32, 24), torch.randn(32, 4)
before, advantage, old_value, target = torch.randn(32) - 6, torch.randn(32), torch.randn(32), torch.randn(32)


def update():
    mean, value = policy(seen)
    z = (actions - mean) * torch.exp(-policy.log_std)
    log_ratio = -0.5 * (z * z).sum(1) - policy.log_std.sum() - 2 * math.log(2 * math.pi) - before
    ratio = log_ratio.exp()
    policy_loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
    near = old_value + (value - old_value).clamp(-0.2, 0.2)
    value_loss = 0.5 * torch.maximum((value - target) ** 2, (near - target) ** 2).mean()
    loss = policy_loss + 0.5 * value_loss
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
    optimizer.step()


for _ in range(50):
    update()
start = time.perf_counter()
for _ in range(640):
    update()
seconds = time.perf_counter() - start
print(json.dumps({"updates_per_s": 640 / seconds,
                  "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
