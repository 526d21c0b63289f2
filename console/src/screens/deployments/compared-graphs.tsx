import { useMemo } from "react";
import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { Loaded } from "../../ui/loading";
import { LazyFlowGraph } from "../editor/lazy-flow-graph";
import { comparisonOf } from "./graph-comparison";

type Difference = components["schemas"]["DifferenceOut"];
type Graph = Parameters<typeof comparisonOf>[1];

interface ComparedGraphsProps {
  deploymentId: string;
  flowId: string;
  difference: Difference;
}

/** Both graphs in one frame, with marks of what was added, removed and changed. */
export function ComparedGraphs({ deploymentId, flowId, difference }: ComparedGraphsProps) {
  const isDraft = difference.after === "draft";
  const draft = hooks.useQuery(
    "get",
    "/node/flows/{flow_id}/",
    { params: { path: { flow_id: flowId } } },
    { enabled: isDraft },
  );
  const path = { deployment_id: deploymentId, number: Number(difference.after) };
  const version = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/versions/{number}/",
    { params: { path } },
    { enabled: !isDraft },
  );
  if (isDraft)
    return <Loaded query={draft}>{(flow) => <Compared difference={difference} after={flow} />}</Loaded>;
  return <Loaded query={version}>{(shown) => <Compared difference={difference} after={shown} />}</Loaded>;
}

function Compared({ difference, after }: { difference: Difference; after: Graph }) {
  const { label, graph, marks, edgeMarks } = useMemo(
    () => comparisonOf(difference, after),
    [difference, after],
  );
  return <LazyFlowGraph label={label} graph={graph} marks={marks} edgeMarks={edgeMarks} />;
}
