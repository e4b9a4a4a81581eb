"""The other scikit-learn models; what scales its features learns how from what it learns from."""

from __future__ import annotations

from typing import Any

from us8k_batch.errors import RequestError
from us8k_batch.training.models import Model, ModelSpec, Parameters


def _standardised(estimator: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator)


def _svm(parameters: Parameters, seed: int) -> Model:
    from sklearn.svm import SVC

    from us8k_batch.training.temperature import TemperatureScaled

    machine = SVC(**parameters, cache_size=500, break_ties=True)
    return TemperatureScaled(_standardised(machine), random_state=seed)


def _knn(parameters: Parameters, seed: int) -> Model:  # noqa: ARG001  # nothing is drawn
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    chosen = {name: value for name, value in parameters.items() if name != "scaling"}
    # A tree of hundreds of dimensions finds nothing sooner than one product of matrices.
    steps = [KNeighborsClassifier(**chosen, algorithm="brute", n_jobs=1)]
    if parameters["scaling"] == "quantile":
        steps.insert(0, QuantileTransformer(n_quantiles=100, output_distribution="normal", subsample=None))
    elif parameters["scaling"] != "none":
        raise RequestError(f"model knn: scaling = {parameters['scaling']!r}, expected none or quantile")
    model: Model = make_pipeline(*steps)
    return model


def _mlp(parameters: Parameters, seed: int) -> Model:
    from sklearn.neural_network import MLPClassifier

    # No early stopping: the clips that scikit-learn would draw for it are of recordings that are learnt from.
    model: Model = _standardised(MLPClassifier(**parameters, early_stopping=False, random_state=seed))
    return model


def _logistic(parameters: Parameters, seed: int) -> Model:
    from sklearn.linear_model import LogisticRegression

    model: Model = _standardised(LogisticRegression(**parameters, random_state=seed))
    return model


def _dummy(parameters: Parameters, seed: int) -> Model:
    from sklearn.dummy import DummyClassifier

    model: Model = DummyClassifier(**parameters, random_state=seed)
    return model


_MLP: dict[str, Any] = {
    "hidden_layer_sizes": [256],
    "alpha": 0.0001,
    "learning_rate_init": 0.001,
    "batch_size": 64,
    "max_iter": 40,
}

_KNN: dict[str, Any] = {"n_neighbors": 5, "weights": "distance", "p": 2.0, "scaling": "none"}
"""MFCC are an orthonormal transform of the spectrum in dB, so unscaled distances are distances of spectra. Scaling
takes that away: under ESC-10's folds it turns 62.2 % into 41.8 on ``mean`` and 70.2 into 61.8 on ``mean+std``. Where
kurtoses stand beside variances, on ``salamon14``, it helps a little: 55.2 to 57.8 (``--set scaling=quantile``)."""

MODELS = {
    "svm": ModelSpec(
        name="svm",
        build=_svm,
        parameters={"C": 10.0, "kernel": "rbf", "gamma": "scale"},
        uses_groups=True,
        workers="processes",
    ),
    "knn": ModelSpec(name="knn", build=_knn, parameters=_KNN, features="mean+std"),
    "mlp": ModelSpec(name="mlp", build=_mlp, parameters=_MLP, pace="learning_rate_init", workers="processes"),
    "logistic": ModelSpec(name="logistic", build=_logistic, parameters={"C": 0.1, "max_iter": 1000}),
    "dummy": ModelSpec(name="dummy", build=_dummy, parameters={"strategy": "prior"}),
}
