"""Why processes ended, from the logs that they leave."""

import pytest

from safeguards.search.failure import why

TRACE = """Traceback (most recent call last):
  File "x.py", line 3, in <module>
    raise ValueError("the loss is gone")
ValueError: the loss is gone
E1121 torch/distributed/elastic/multiprocessing/api.py:1] failed (exitcode: 1) local_rank: 0 (pid: 9) of binary: python
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
"""


@pytest.mark.parametrize(
    ("code", "log", "said"),
    [
        (1, TRACE, "ValueError: the loss is gone"),
        (
            1,
            "[rank1]: torch.OutOfMemoryError: CUDA out of memory\n" + TRACE,
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
        (1, "error: model: TabularNet has no option 'widht'\n", "error: model: TabularNet has no option 'widht'"),
        (1, "  exitcode  : -9 (pid: 12)\n", "a process was killed by signal SIGKILL; when memory runs out the system"),
        (1, "failed (exitcode: -11) local_rank: 0", "a process was killed by signal SIGSEGV"),
        (1, "failed (exitcode: -15) local_rank: 1\n" + TRACE, "ValueError: the loss is gone"),
        (1, "failed (exitcode: -15) local_rank: 1\nfailed (exitcode: -9)", "a process was killed by signal SIGKILL"),
        (1, "[default1]:[rank1]: ValueError: the loss is gone\n", "ValueError: the loss is gone"),
        (143, "", "a process was killed by signal SIGTERM"),
        (1, "exitcode : -99", "a process was killed by signal 99"),
        (3, "nothing of note\n", "ended with exit code 3"),
    ],
)
def test_the_reason_is_the_first_cause(code, log, said):
    assert why(code, log).startswith(said)


def test_a_secret_stays_out_of_the_reason(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "abcdefghijklmnop")
    told = why(1, "OSError: no access to postgresql://me:hunter2@host/db with abcdefghijklmnop\n")
    assert "hunter2" not in told
    assert "abcdefghijklmnop" not in told
    assert told.startswith("OSError: no access to postgresql://")
