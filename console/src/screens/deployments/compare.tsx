import { getRouteApi } from "@tanstack/react-router";
import { hooks } from "../../api/client";
import { deploymentTexts } from "../../strings/deployments";
import { Field } from "../../ui/field";
import { Loaded } from "../../ui/loading";
import { Notice } from "../../ui/notice";
import { Select } from "../../ui/select";
import { ComparedGraphs } from "./compared-graphs";
import styles from "./deployment.module.css";
import { DifferenceTable } from "./difference-table";

const route = getRouteApi("/app/deployments/$deploymentId/compare");
/** The versions that can be chosen; older ones by their number in the address. */
const LISTED = 200;

/** What differs between two versions, or a version and the draft. */
export function CompareScreen() {
  const { deploymentId } = route.useParams();
  const { before = "live", after = "draft" } = route.useSearch();
  const navigate = route.useNavigate();
  const path = { deployment_id: deploymentId };
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", { params: { path } });
  const versions = hooks.useQuery("get", "/node/deployments/{deployment_id}/versions/", {
    params: { path, query: { limit: LISTED } },
  });
  const difference = hooks.useQuery("get", "/node/deployments/{deployment_id}/diff/", {
    params: { path, query: { before, after } },
  });
  const numbers = (versions.data?.items ?? []).map(({ version, live }) => ({
    value: String(version),
    label: live
      ? `${deploymentTexts.versions.number(version)} · ${deploymentTexts.versions.live}`
      : deploymentTexts.versions.number(version),
  }));
  const choices = [
    { value: "draft", label: deploymentTexts.versions.draft },
    { value: "live", label: deploymentTexts.versions.live },
    ...numbers,
  ];
  return (
    <div className={styles.stack}>
      <div className={styles.grid}>
        <Field label={deploymentTexts.versions.beforeLabel}>
          <Select
            options={choices}
            value={before}
            onChange={(value) => void navigate({ search: { before: value, after }, replace: true })}
          />
        </Field>
        <Field label={deploymentTexts.versions.afterLabel}>
          <Select
            options={choices}
            value={after}
            onChange={(value) => void navigate({ search: { before, after: value }, replace: true })}
          />
        </Field>
      </div>
      <Loaded query={difference}>
        {(found) => (
          <>
            {found.problem ? (
              <Notice kind="warn" title={deploymentTexts.redeploy.problem}>
                <p>{found.problem}</p>
              </Notice>
            ) : null}
            {deployment.data ? (
              <ComparedGraphs
                deploymentId={deploymentId}
                flowId={deployment.data.flow_id}
                difference={found}
              />
            ) : null}
            <DifferenceTable difference={found} />
          </>
        )}
      </Loaded>
    </div>
  );
}
