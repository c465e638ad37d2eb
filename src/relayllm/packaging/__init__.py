"""The relay decoder as an MLflow package: write it, open it, answer with it, check it."""
