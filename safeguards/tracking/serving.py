"""Pages of ours inside MLflow's server, behind the same checks of hosts and origins as its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.tracking.reading import RunReader

if TYPE_CHECKING:
    from flask import Blueprint

__all__ = ["inside_mlflow"]

PLACE = "/safeguards"
OF_USERS = ("MLFLOW_AUTH_CONFIG_PATH",)
"""Set where somebody counts on users and permissions, which this app of MLflow's does not have."""

WORKSPACES = "MLFLOW_ENABLE_WORKSPACES"


def inside_mlflow(pages: Callable[[RunReader], Blueprint]) -> Any:
    """MLflow's application with ``pages`` below ``/safeguards``, reading the store that the server serves.

    What the server does not give away is not read either: artifacts that it proxies, only where it serves artifacts.
    Raises `ConfigurationError` where users and permissions, or workspaces, are configured: the pages know neither.
    """
    import mlflow.server
    from mlflow.server.handlers import _add_static_prefix

    _refuse()
    server: Any = mlflow.server
    serves = os.environ.get(server.SERVE_ARTIFACTS_ENV_VAR) == "true"
    reader = RunReader(
        os.environ.get(server.BACKEND_STORE_URI_ENV_VAR),
        artifacts=os.environ.get(server.ARTIFACTS_DESTINATION_ENV_VAR) if serves else None,
    )
    server.app.register_blueprint(pages(reader), url_prefix=_add_static_prefix(PLACE))
    if os.environ.get("_MLFLOW_SGI_NAME") != "uvicorn":  # gunicorn, waitress and older versions want it as it is
        return server.app
    from mlflow.server.fastapi_app import create_fastapi_app

    return create_fastapi_app(server.app)


def _refuse() -> None:
    if found := [name for name in OF_USERS if os.environ.get(name)]:
        raise ConfigurationError(
            f"{found[0]} is set, and this app knows no users: it would open to all what they may not see. Keep "
            "--app-name basic-auth, and run safeguards review for those who may see every run"
        )
    if os.environ.get(WORKSPACES, "").lower() in ("true", "1"):
        raise ConfigurationError("this app knows no workspaces: run safeguards review beside the server")
