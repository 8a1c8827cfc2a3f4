"""The programs that users run today, each of which takes turns with the runtime (`runtime.bench --peers`)."""
