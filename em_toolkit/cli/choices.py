"""The names that may be chosen on the command line, as the help lists them."""

from __future__ import annotations

from enum import StrEnum


class ModelName(StrEnum):
    """The models of `em-toolkit fit`."""

    GAUSSIAN_MIXTURE = "gaussian-mixture"
    POISSON_MIXTURE = "poisson-mixture"
    PPCA = "ppca"


class CovarianceType(StrEnum):
    """The covariance structures: scikit-learn's, and mclust's."""

    FULL = "full"
    TIED = "tied"
    DIAG = "diag"
    SPHERICAL = "spherical"
    EII = "EII"
    VII = "VII"
    EEI = "EEI"
    VEI = "VEI"
    EVI = "EVI"
    VVI = "VVI"
    EEE = "EEE"
    VEE = "VEE"
    EVE = "EVE"
    VVE = "VVE"
    EEV = "EEV"
    VEV = "VEV"
    EVV = "EVV"
    VVV = "VVV"


class Start(StrEnum):
    """The start of EM."""

    KMEANS = "kmeans"
    KMEANS_SAMPLE = "kmeans_sample"
    KMEANS_STANDARDIZED = "kmeans_standardized"
    KMEANS_PLUSPLUS = "k-means++"
    RANDOM = "random"
    RANDOM_FROM_DATA = "random_from_data"
    HIERARCHICAL = "hierarchical"
    SHORT_EM = "short_em"
    AUTO = "auto"


class Stopping(StrEnum):
    """The quantity that is compared with the tolerance."""

    STEP = "step"
    DISTANCE = "distance"


class Solver(StrEnum):
    """The way PPCA is fitted."""

    CLOSED_FORM = "closed_form"
    EM = "em"
    RANDOMIZED = "randomized"


class Acceleration(StrEnum):
    """The acceleration of EM."""

    SQUAREM = "squarem"
    QUASI_NEWTON = "quasi_newton"


class Prior(StrEnum):
    """The priors that have a name."""

    CONJUGATE = "conjugate"


class Criterion(StrEnum):
    """The criterion by which `em-toolkit select` compares mixtures."""

    BIC = "bic"
    ICL = "icl"
    AIC = "aic"
    CV = "cv"
