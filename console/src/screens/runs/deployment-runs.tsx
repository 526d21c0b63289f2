import { getRouteApi } from "@tanstack/react-router";
import { RunBrowser } from "./run-browser";

const route = getRouteApi("/app/deployments/$deploymentId/runs");

/** The runs of one deployment. */
export function DeploymentRunsTab() {
  const { deploymentId } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <RunBrowser
      ofOne="deployment"
      search={{ ...search, deployment: deploymentId }}
      onSearch={({ deployment: _, ...next }) => void navigate({ search: next, replace: true })}
    />
  );
}
