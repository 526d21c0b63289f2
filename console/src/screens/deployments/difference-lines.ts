import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";

type Difference = components["schemas"]["DifferenceOut"];
type ModelVersion = components["schemas"]["ModelVersionOut"];

/** One thing that differs between two versions; absent values are null. */
export interface DifferenceLine {
  kind: "schema" | "model" | "added" | "removed" | "changed" | "edgeAdded" | "edgeRemoved";
  where: string;
  before: string | null;
  after: string | null;
  /** Why calls that work now are refused then. */
  breaks: string | null;
}

/** Return what differs, line by line: what breaks calls first. */
export function differenceLines(difference: Difference): DifferenceLine[] {
  const lines = [...schemaLines(difference), ...modelLines(difference), ...graphLines(difference)];
  return [...lines.filter(({ breaks }) => breaks !== null), ...lines.filter(({ breaks }) => breaks === null)];
}

export function breakingLines(difference: Difference): DifferenceLine[] {
  return differenceLines(difference).filter(({ breaks }) => breaks !== null);
}

function schemaLines({ input_schema }: Difference): DifferenceLine[] {
  return input_schema.changes.map(({ pointer, before, after, breaking, reason }) => ({
    kind: "schema",
    where: pointer || "/",
    before: shown(before),
    after: shown(after),
    breaks: breaking ? reason : null,
  }));
}

function modelLines({ models }: Difference): DifferenceLine[] {
  return models.map(({ node, before, after, signature_changed }) => ({
    kind: "model",
    where: node,
    before: versionText(before),
    after: [versionText(after), signature_changed ? deploymentTexts.difference.signature : null]
      .filter(Boolean)
      .join(", "),
    breaks: null,
  }));
}

function graphLines({ nodes, edges }: Difference): DifferenceLine[] {
  const line = (
    kind: DifferenceLine["kind"],
    where: string,
    before: string | null,
    after: string | null,
  ) => ({
    kind,
    where,
    before,
    after,
    breaks: null,
  });
  return [
    ...nodes.removed.map((node) => line("removed", String(node["id"]), String(node["type"]), null)),
    ...nodes.added.map((node) => line("added", String(node["id"]), null, String(node["type"]))),
    ...nodes.changed.flatMap(({ id, fields }) =>
      fields.map(({ pointer, before, after }) =>
        line("changed", `${id}${pointer}`, shown(before), shown(after)),
      ),
    ),
    ...edges.removed.map((edge) => line("edgeRemoved", edgeText(edge), null, null)),
    ...edges.added.map((edge) => line("edgeAdded", edgeText(edge), null, null)),
  ];
}

function edgeText(edge: Record<string, unknown>): string {
  return deploymentTexts.difference.edge(String(edge["source"]), String(edge["target"]));
}

function versionText(version: ModelVersion | null): string | null {
  return version ? deploymentTexts.difference.model(version.model, version.version) : null;
}

function shown(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}
