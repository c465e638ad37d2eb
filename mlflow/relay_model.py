"""What MLflow runs to make the model: this file is copied into the package and loaded by path."""

from mlflow.models import set_model

from relayllm.packaging.pyfunc import RelayModel

set_model(RelayModel())
