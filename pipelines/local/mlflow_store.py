"""Create MLflow's tables once, before anything uses them in parallel: ``python -m pipelines.local.mlflow_store``."""

from __future__ import annotations

from pipelines.settings import load


def main() -> None:
    """Bring MLflow's database up to date."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    settings = load().ensure()
    engine = create_sqlalchemy_engine(settings.mlflow_store)
    _initialize_tables(engine)
    engine.dispose()


if __name__ == "__main__":
    main()
