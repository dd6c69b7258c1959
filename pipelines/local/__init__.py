"""The one-machine platform: keeps Airflow, MLflow, the gateway and the bentos in their desired state."""
