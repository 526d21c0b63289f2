import { lazy, Suspense } from "react";
import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { count } from "../../formats/formats";
import { modelTexts } from "../../strings/models";
import { Loaded, Skeleton } from "../../ui/loading";
import { Notice } from "../../ui/notice";
import { Section } from "../../ui/page";
import { Table } from "../../ui/table";
import styles from "./models.module.css";

type Graph = components["schemas"]["ModelGraphOut"];
type Node = Graph["nodes"][number];

/** With what computes the layout: the table does not wait. */
const OperatorGraph = lazy(async () => ({
  default: (await import("./operator-graph")).OperatorGraph,
}));

interface Row {
  at: number;
  node: Node;
  takes: string;
}

/** How often each operator is in a model, and its first nodes with where their inputs come from. */
export function ModelGraphTab({ name, version }: { name: string; version: number }) {
  const graph = hooks.useQuery("get", "/node/models/{name}/versions/{version}/graph/", {
    params: { path: { name, version: String(version) } },
  });
  return (
    <Loaded query={graph} rows={6}>
      {(loaded) => <Shown graph={loaded} />}
    </Loaded>
  );
}

function Shown({ graph }: { graph: Graph }) {
  const { ops, folded, reason } = graph;
  if (reason) return <Notice kind="info">{reason}</Notice>;
  const operators = Object.entries(ops).sort(([, one], [, other]) => other - one);
  return (
    <>
      <Section title={modelTexts.modelGraph.operators}>
        {operators.length ? (
          <ul className={styles.chips}>
            {operators.map(([operator, number]) => (
              <li key={operator} className={styles.operator}>
                {operator} <strong>{count(number)}</strong>
              </li>
            ))}
          </ul>
        ) : (
          <p className={styles.faint}>{modelTexts.modelGraph.none}</p>
        )}
      </Section>
      <Section title={modelTexts.modelGraph.nodes}>
        <Suspense fallback={<Skeleton rows={6} />}>
          <OperatorGraph graph={graph} />
        </Suspense>
        <Table
          label={modelTexts.modelGraph.nodes}
          rows={rowsOf(graph)}
          keyOf={(row) => String(row.at)}
          columns={COLUMNS}
        />
        {folded ? <p className={styles.faint}>{modelTexts.modelGraph.folded(folded)}</p> : null}
      </Section>
    </>
  );
}

function rowsOf({ nodes, edges }: Graph): Row[] {
  const taken = new Map<number, string[]>();
  for (const { source, target, tensor } of edges) {
    const text = modelTexts.modelGraph.from(tensor, titleOf(nodes[source], source));
    taken.set(target, [...(taken.get(target) ?? []), text]);
  }
  return nodes.map((node, at) => ({ at, node, takes: (taken.get(at) ?? []).join(", ") }));
}

function titleOf(node: Node | undefined, at: number): string {
  return `${at + 1} ${node?.op || node?.name || ""}`.trim();
}

const COLUMNS = [
  { title: modelTexts.modelGraph.number, cell: ({ at }: Row) => at + 1 },
  {
    title: modelTexts.modelGraph.operator,
    cell: ({ node }: Row) => (node.op ? <code>{node.op}</code> : modelTexts.modelGraph.kinds[node.kind]),
  },
  { title: modelTexts.modelGraph.name, cell: ({ node }: Row) => node.name },
  { title: modelTexts.modelGraph.takes, cell: ({ takes }: Row) => takes },
];
