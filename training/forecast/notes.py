"""What the model cards say besides the figures."""

from __future__ import annotations

NOTES = (
    "One model for hourly, daily, business-daily, weekly, monthly, quarterly and yearly series. It reads a "
    "series step by step and predicts nine quantiles for each of the next 48 steps after every one of them; "
    "the 0.5 quantile is the point forecast. Missing values, an unknown start and an unknown frequency are "
    "allowed.\n\n"
    "Limits: values are float32, so a series whose variation is less than a millionth of its level looks "
    "constant. It looks back at most 336 steps for seasonal values, so a yearly season of daily data is seen "
    "only through the calendar. A frequency that is not listed is treated as unknown, and forecast with its "
    "usual season. It knows nothing but the series: no holidays, no prices, no other series."
)
USER_NOTES = (
    "Trained on a file of the user's own. The test part is the last tenth of each series (at least one "
    "horizon); it was not seen in training and did not choose the weights."
)
