"""What users run today, each as a program that takes turns with the runtime (`runtime.bench --peers`)."""
