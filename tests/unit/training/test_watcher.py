"""What a GRPO run says of a step."""

from relayllm.progress import Rate
from relayllm.training.watcher import step_line

NUMBERS = {"step": 3, "reward": 0.412, "accuracy": 0.625, "call_ratio": 0.0224, "callers": 0.7, "mean_n": 3.0,
           "length": 91.2, "seconds_step": 2.41}


def test_step_is_told_with_its_rewards_and_the_time_that_is_left():
    moments, said = [0.0], []
    rate = Rate(lambda: moments[-1])
    for now in (9.0, 15.0, 21.0):  # the first took the loading of models as well
        moments.append(now)
        rate.count(1)
        said.append(step_line(NUMBERS, 60, rate))
    assert said[0] == "step 3/60  reward 0.41  accuracy 0.62  call ratio 0.022  callers 0.70  n 3.0  length 91  2.4 s"
    assert said[-1] == said[0] + ", about 6 min left"
