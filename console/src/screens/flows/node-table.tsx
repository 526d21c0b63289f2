import { stringifyJson } from "../../formats/lossless-json";
import { deploymentTexts } from "../../strings/deployments";
import { Table } from "../../ui/table";
import styles from "./flow-list.module.css";
import { edgesOf, type FlowNode, nameOf, nodesOf } from "./flow-nodes";

/** The nodes of a graph that is not edited, each with what leads to it. */
export function NodeTable({ flow }: { flow: Parameters<typeof nodesOf>[0] }) {
  const edges = edgesOf(flow);
  const columns = [
    { title: deploymentTexts.versions.node, cell: nameOf },
    { title: deploymentTexts.versions.nodeType, cell: ({ type }: FlowNode) => type },
    {
      title: deploymentTexts.versions.after,
      cell: ({ id }: FlowNode) =>
        edges
          .filter((edge) => edge.target === id)
          .map((edge) => (edge.case ? `${edge.source} (${edge.case})` : edge.source))
          .join(", "),
    },
    {
      title: deploymentTexts.versions.config,
      cell: ({ config }: FlowNode) => <code className={styles.config}>{stringifyJson(config ?? {})}</code>,
    },
  ];
  return (
    <Table
      label={deploymentTexts.versions.graph}
      rows={nodesOf(flow)}
      columns={columns}
      keyOf={(node) => node.id}
    />
  );
}
