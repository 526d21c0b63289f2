"""Operators of scikit-learn's and similar models, and of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inference_server.runtime.rows.broadcasting import elementwise
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import number, unfollowed
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import no_sizes, same_for_all
from inference_server.runtime.rows.tensors import Tensor, elements, tensor

_TABLE_RANK = 2


def _table(value: Tensor) -> None:
    """Raise MixesRowsError unless a value is a table with one line for each row.

    ONNX Runtime takes a list for a single row.
    """
    no_sizes(value)
    if value.rank != _TABLE_RANK or (value.rows is not None and value.rows.axis):
        raise MixesRowsError("its input is not a table with one line for each row")


def predicted(node: Node) -> list[Tensor]:
    """Classifiers (labels and scores) and regressors (scores): trees, linear models, SVMs."""
    value = node.input(0)
    _table(value)
    features, width = node.integers("nodes_featureids"), value.known_shape[1].constant
    if features and (width is None or not 0 <= min(features) <= max(features) < width):
        raise MixesRowsError("it is not known that a tree reads within its own line")
    lines = value.known_shape[0]
    scores = tensor([lines, unfollowed(node.name)], value.rows)
    return [tensor([lines], value.rows), scores] if node.outputs > 1 else [scores]


def labels_only(node: Node) -> list[Tensor]:
    """A classifier whose scores are not used returns labels."""
    found = predicted(node)
    value = node.input(0)
    return found if node.outputs > 1 else [tensor(value.known_shape[:1], value.rows)]


def by_column(node: Node) -> Tensor:
    """`Scaler`, `Imputer`, `Normalizer` and `Binarizer`: each line by itself."""
    value = node.input(0)
    _table(value)
    return tensor(value.known_shape, value.rows)


def one_hot(node: Node) -> Tensor:
    """`OneHotEncoder`: a further axis for the categories."""
    value = node.input(0)
    no_sizes(value)
    count = node.count("cats_strings") or node.count("cats_int64s")
    return tensor([*value.known_shape, number(count)], value.rows)


def columns(node: Node) -> Tensor:
    """`ArrayFeatureExtractor`."""
    value, chosen = node.input(0), node.input(1)
    _table(value)
    same_for_all(chosen)
    return tensor([value.known_shape[0], elements(chosen)], value.rows)


def side_by_side(node: Node) -> Tensor:
    """`FeatureVectorizer`."""
    first = node.input(0)
    for value in node.values:
        _table(value)
        if value.rows != first.rows:
            raise MixesRowsError("it puts a constant beside rows")
    return tensor([first.known_shape[0], unfollowed(node.name)], first.rows)


def maps(node: Node) -> Tensor:
    """`ZipMap`: a map for each line."""
    value = node.input(0)
    _table(value)
    return replace(tensor(value.known_shape[:1], value.rows), is_sequence=True)


def normalized_text(node: Node) -> Tensor:
    """`StringNormalizer`, which drops texts where it has stop words."""
    value = node.input(0)
    no_sizes(value)
    if node.has_attribute("stopwords"):
        raise MixesRowsError("it drops texts")
    if value.rank != 1:
        raise MixesRowsError("its input is not a list of texts")
    return tensor(value.known_shape, value.rows)


def counted_text(node: Node) -> Tensor:
    """`TfIdfVectorizer`."""
    value = node.input(0)
    _table(value)
    return tensor([value.known_shape[0], unfollowed(node.name)], value.rows)


_CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
_REGRESSORS = ("LinearRegressor", "SVMRegressor", "TreeEnsemble", "TreeEnsembleRegressor")
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_CLASSIFIERS, labels_only),
    **dict.fromkeys(_REGRESSORS, predicted),
    **dict.fromkeys(("Scaler", "Imputer", "Normalizer", "Binarizer"), by_column),
    "LabelEncoder": elementwise,
    "OneHotEncoder": one_hot,
    "ArrayFeatureExtractor": columns,
    "FeatureVectorizer": side_by_side,
    "ZipMap": maps,
}
TEXT_RULES: Mapping[str, Rule] = {
    "StringNormalizer": normalized_text,
    "TfIdfVectorizer": counted_text,
}
