"""The Model Center: what is live, why, how good, and what to do about it, as a page in Airflow's own UI."""
