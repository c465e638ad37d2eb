"""Prefect flows: what changes the world, and when: pipeline, release, monitoring."""

from relayllm.settings import current_settings, quiet

quiet()  # Prefect reads its settings when it is imported, and makes the last folder of PREFECT_HOME only
current_settings().store.mkdir(parents=True, exist_ok=True)
