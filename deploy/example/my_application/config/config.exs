import Config

# journald adds the time and the unit; a line needs no more than its level.
config :logger, :console, format: "[$level] $message\n"
