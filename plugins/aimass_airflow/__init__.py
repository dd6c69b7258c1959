"""The Airflow side of AI Mass."""
