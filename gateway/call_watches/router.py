"""`POST /node/deployments/{id}/watch/`; needs a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from gateway.auth.access import Manager
from gateway.call_watches.schemas import WatchIn
from gateway.call_watches.watches import DeploymentWatches
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.web.row_names import DeploymentId

Watches = Annotated[DeploymentWatches, from_app(DeploymentWatches)]
router = DocumentedRouter(prefix="/node/deployments/{deployment_id}", tags=["Deployments"])


@router.post("/watch/", status_code=204)
async def watch(
    watches: Watches, actor: Manager, deployment_id: DeploymentId, body: WatchIn
) -> None:
    """Report the next calls, at most 20, to your streams of `GET /node/events/`.

    Calls that are refused are reported, too, with the reason: they are events of the topic `calls`.
    """
    await watches.begin(actor.profile_id, deployment_id, body.seconds)
