-- MLflow's own database is made by POSTGRES_DB. Run once, on an empty volume.
CREATE DATABASE mlflow_auth;
CREATE DATABASE prefect;
CREATE DATABASE budgets;
