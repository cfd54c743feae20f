"""Exit codes of all processes and commands, those of `sysexits.h` where it has one."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 75  # EX_TEMPFAIL: worth another try later, or a drain took too long
EXIT_SETTINGS = 78  # EX_CONFIG
EXIT_INTERRUPTED = 130  # as a shell says that SIGINT ended a program
