"Statistics gathered by several processes are those of one."

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from stal.spectrum.files import RunningProfile
from stal.spectrum.profile import radial_profile


def share(seed):
    images = torch.rand(6, 3, 96, 96, generator=torch.Generator().manual_seed(seed))
    return RunningProfile().update(radial_profile(images))


def test_shares_of_two_processes_add_up():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(share, (1, 2))
    images = torch.cat(
        [torch.rand(6, 3, 96, 96, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    )
    together, both = RunningProfile().update(radial_profile(images)), first + second
    assert both.count == 12
    torch.testing.assert_close(both.mean, together.mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(both.std, together.std, rtol=1e-4, atol=1e-5)
