"""What a stage logs, and the process that writes it to MLflow."""
