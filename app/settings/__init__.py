"""Every setting, once: flags, then ``RNNSERVE_*`` variables, then the settings file, then the defaults.

    flags, RNNSERVE_*, file --> Settings (frozen) --> create_app(settings) --> plain values to each layer

Read once at start-up and passed on as values; nothing else looks at the environment. A new
setting is a field of the group it belongs to, here or among the limits.
"""

from app.settings.settings import ENV_PREFIX, Settings
from app.settings.sources import effective_lines, load_settings, load_sourced, tracing_variables

__all__ = ["ENV_PREFIX", "Settings", "effective_lines", "load_settings", "load_sourced", "tracing_variables"]
