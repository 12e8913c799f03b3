"""What the model cards say besides the figures."""

from __future__ import annotations

NOTES = (
    "One model for yearly, quarterly, monthly, weekly, daily, business-daily, hourly, half-, quarter-hourly, "
    "five-minutely and minutely series and for those of unknown spacing. It reads a series step by step and "
    "predicts eleven quantiles, from 0.005 to 0.995, for each of the next 48 steps after every one of them; "
    "the 0.5 quantile is the point forecast. Missing values, an unknown start and an unknown frequency are "
    "allowed.\n\n"
    "Its state holds what classical methods remember: smoothed levels, local lines, seasonal values and "
    "their growth, and how well each of these forecast so far. The network mixes their forecasts. Nothing it "
    "reads depends on unit or level, and it reads the mirror image of a series too, so that "
    "`f(a x + b) = a f(x) + b`. Straight lines, constants and exact periods are continued exactly.\n\n"
    "The M3 competition is a benchmark here: no series of it was trained on, and series of other collections "
    "that are copies of one were left out by comparing values. The weights were chosen on the last steps of "
    "M4 and on one in ten series of M1 and of the textbooks, which were never trained on.\n\n"
    "Limits: values are float32, so a series whose variation is less than three ten-millionths of its level "
    "looks constant. Seasons are at most 366 steps. Its 80 % intervals are too wide on M4 Hourly and on the "
    "group `other` of M3, where 88 % of the values lie in them. Of exponential growth it continues the "
    "line, not the curve. It knows nothing but the series: no holidays, no prices, no other series, and not "
    "that counts are never negative."
)
USER_NOTES = (
    "Trained on a file of the user's own. The test part is the last tenth of each series (at least one "
    "horizon); it was not seen in training and did not choose the weights."
)
