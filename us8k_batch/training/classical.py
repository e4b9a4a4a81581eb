"""The other scikit-learn models; what compares distances standardises its features first, on what it learns from."""

from __future__ import annotations

from typing import Any

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

    # Variances and kurtoses have long tails, and one of them would decide every distance.
    even = QuantileTransformer(n_quantiles=100, output_distribution="normal", subsample=None)
    # A tree of hundreds of dimensions finds nothing sooner than one product of matrices.
    model: Model = make_pipeline(even, KNeighborsClassifier(**parameters, algorithm="brute", n_jobs=1))
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

MODELS = {
    "svm": ModelSpec(
        name="svm",
        build=_svm,
        parameters={"C": 10.0, "kernel": "rbf", "gamma": "scale"},
        uses_groups=True,
        workers="processes",
    ),
    "knn": ModelSpec(name="knn", build=_knn, parameters={"n_neighbors": 5, "weights": "distance", "p": 2.0}),
    "mlp": ModelSpec(name="mlp", build=_mlp, parameters=_MLP, workers="processes"),
    "logistic": ModelSpec(name="logistic", build=_logistic, parameters={"C": 0.1, "max_iter": 1000}),
    "dummy": ModelSpec(name="dummy", build=_dummy, parameters={"strategy": "prior"}),
}
