"""What the model cards say besides the figures."""

from __future__ import annotations

NOTES = (
    "One model for yearly, quarterly, monthly, weekly, daily, business-daily, hourly, half-, "
    "quarter-hourly, five-minutely and minutely series and for those of unknown spacing. It reads a series "
    "step by step and predicts eleven quantiles, from 0.005 to 0.995, for each of the next 48 steps after "
    "every one of them; the 0.5 quantile is the point forecast. Missing values, an unknown start and an "
    "unknown frequency are allowed.\n\n"
    "Its state holds what classical methods remember: smoothed levels, local lines and how they bend, "
    "seasonal values and their growth, and how well each of these forecast so far. The network mixes their "
    "forecasts. Nothing it reads depends on unit or level, and it reads the mirror image of a series too, "
    "so that `f(a x + b) = a f(x) + b`. Straight lines, constants and exact periods are continued exactly. "
    "A calendar is read once two seasons are known: before that it could only be guessed what a month or an "
    "hour means.\n\n"
    "The M3 competition is a benchmark here: no series of it was trained on, and series of other "
    "collections that are copies of one were left out by comparing values. The weights were chosen on the "
    "last steps of M4, on one in ten series of M1 and of the textbooks, which were never trained on, and on "
    "made-up ones. Intervals of series with 80 values and more are narrower by shares that the validation "
    "parts gave, other ones for near and far steps: until four in five of their values lay in those of 80 "
    "%.\n\n"
    "Limits: values are float32, so a series whose variation is less than three ten-millionths of its level "
    "looks constant. Seasons are at most 366 steps. Growth by the same share each step is forecast too low: "
    "2 % a step by a tenth after 24 steps, 5 % by a third, and then the intervals do not hold it either. It "
    "knows nothing but the series: no holidays, no prices, no other series, and not that counts are never "
    "negative."
)
USER_NOTES = (
    "Trained on a file of the user's own. The test part is the last tenth of each series (at least one "
    "horizon); it was not seen in training and did not choose the weights."
)
