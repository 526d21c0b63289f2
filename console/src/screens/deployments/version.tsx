import { getRouteApi, Link } from "@tanstack/react-router";
import { hooks } from "../../api/client";
import { Time } from "../../formats/time";
import { deploymentTexts } from "../../strings/deployments";
import { CodeBlock } from "../../ui/copy";
import { Loaded } from "../../ui/loading";
import { Section } from "../../ui/page";
import { Status } from "../../ui/status";
import type { Draft } from "../editor/draft";
import { LazyFlowGraph } from "../editor/lazy-flow-graph";
import { edgesOf, nodesOf } from "../flows/flow-nodes";
import { NodeTable } from "../flows/node-table";
import styles from "./deployment.module.css";
import { makerOf } from "./maker";
import { pinsText } from "./versions";

const route = getRouteApi("/app/deployments/$deploymentId/versions/$number");

/** One version: its graph, what it pins, and what its input is. */
export function VersionScreen() {
  const { deploymentId, number } = route.useParams();
  const version = hooks.useQuery("get", "/node/deployments/{deployment_id}/versions/{number}/", {
    params: { path: { deployment_id: deploymentId, number: Number(number) } },
  });
  return (
    <div className={styles.stack}>
      <Link to="/deployments/$deploymentId/versions" params={{ deploymentId }}>
        {deploymentTexts.versions.back}
      </Link>
      <Loaded query={version}>
        {(shown) => (
          <>
            <div className={styles.facts}>
              <strong>{deploymentTexts.versions.number(shown.version)}</strong>
              {shown.live ? <Status state="live">{deploymentTexts.versions.live}</Status> : null}
              {shown.name ? <span>{shown.name}</span> : null}
              <span>{makerOf(shown)}</span>
              <Time iso={shown.created_at} />
              <span>{pinsText(shown.models)}</span>
            </div>
            {shown.description ? <p>{shown.description}</p> : null}
            <Section title={deploymentTexts.versions.graph}>
              <LazyFlowGraph label={deploymentTexts.versions.graphOf(shown.version)} graph={graphOf(shown)} />
              <NodeTable flow={shown} />
            </Section>
            {shown.input_schema ? (
              <CodeBlock
                label={deploymentTexts.versions.schema}
                code={JSON.stringify(shown.input_schema, null, 2)}
              />
            ) : null}
            {shown.input_example ? (
              <CodeBlock
                label={deploymentTexts.versions.example}
                code={JSON.stringify(shown.input_example)}
              />
            ) : null}
          </>
        )}
      </Loaded>
    </div>
  );
}

function graphOf(version: Parameters<typeof nodesOf>[0]): Draft {
  return { name: "", nodes: nodesOf(version), edges: edgesOf(version) };
}
