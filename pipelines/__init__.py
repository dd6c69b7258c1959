"""AI Mass: nightly retraining and safe serving of tabular models. Never imports Airflow."""
