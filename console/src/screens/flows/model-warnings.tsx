import { hooks } from "../../api/client";
import { flowDeploymentTexts } from "../../strings/flow-deployments";
import { Notice } from "../../ui/notice";

/** What of a model is not served, and what to do about it. */
export function ModelWarnings({ model }: { model: string }) {
  const version = hooks.useQuery("get", "/node/models/{name}/versions/{version}/", {
    params: { path: { name: model, version: "latest" } },
  });
  const warnings = version.data?.warnings ?? [];
  if (warnings.length === 0) return null;
  return (
    <Notice kind="warn" title={flowDeploymentTexts.modelWarnings(model)}>
      {warnings.map((warning) => (
        <p key={warning.name}>{warning.message}</p>
      ))}
    </Notice>
  );
}
