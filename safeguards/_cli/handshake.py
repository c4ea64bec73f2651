"""One of two processes that add their ones together; run by `safeguards doctor` as a script of its own."""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist

LIMIT = timedelta(seconds=20)


def main(rank: str, meeting_point: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=int(rank), world_size=2, timeout=LIMIT)
    total = torch.ones(1)
    dist.all_reduce(total)
    dist.destroy_process_group()
    if total.item() != 2:
        sys.exit(f"two ones made {total.item()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
