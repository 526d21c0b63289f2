import { Link } from "@tanstack/react-router";
import { hooks } from "../../api/client";
import { keyTexts } from "../../strings/keys";
import type { Key } from "./queries";

/** What a key opens: all deployments, one by its name, or how many; or what else it is for. */
export function OpenedDeployments({ apiKey }: { apiKey: Key }) {
  const ids = apiKey.deployments;
  if (apiKey.scope !== "trigger") return keyTexts.scopes[apiKey.scope]?.[0] ?? apiKey.scope;
  if (ids === null) return keyTexts.all;
  const [only] = ids;
  return ids.length === 1 && only ? <DeploymentName id={only} /> : keyTexts.several(ids.length);
}

function DeploymentName({ id }: { id: string }) {
  const deployment = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/",
    { params: { path: { deployment_id: id } } },
    { retry: false }, // a deleted deployment has no name to wait for
  );
  return (
    <Link to="/deployments/$deploymentId/code" params={{ deploymentId: id }}>
      {deployment.data?.name ?? id}
    </Link>
  );
}
