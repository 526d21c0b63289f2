import { getRouteApi } from "@tanstack/react-router";
import { hooks } from "../../api/client";
import { t } from "../../strings";
import { editorTexts } from "../../strings/editor";
import { Loaded } from "../../ui/loading";
import { Page } from "../../ui/page";
import styles from "../deployments/deployment.module.css";
import { FlowRail } from "../editor/flow-rail";
import { RunBrowser } from "./run-browser";

const route = getRouteApi("/app/flows/$flowId/runs");

/** The runs of all deployments of a flow, and tests of its drafts. */
export function FlowRunsScreen() {
  const { flowId } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const flow = hooks.useQuery("get", "/node/flows/{flow_id}/", { params: { path: { flow_id: flowId } } });
  return (
    <div className={styles.withRail}>
      <FlowRail flowId={flowId} />
      <div>
        <Loaded query={flow}>
          {({ name }) => (
            <Page title={editorTexts.runsOf(name)} area={t.flows.title}>
              <RunBrowser
                ofOne="flow"
                search={{ ...search, flow: flowId }}
                onSearch={({ flow: _, ...next }) => void navigate({ search: next, replace: true })}
              />
            </Page>
          )}
        </Loaded>
      </div>
    </div>
  );
}
