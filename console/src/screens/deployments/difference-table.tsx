import type { components } from "../../api/schema";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { Status } from "../../ui/status";
import { Table } from "../../ui/table";
import styles from "./deployment.module.css";
import { type DifferenceLine, differenceLines } from "./difference-lines";

type Difference = components["schemas"]["DifferenceOut"];

/** What differs between two versions, as a table: what breaks calls first. */
export function DifferenceTable({ difference }: { difference: Difference }) {
  const lines = differenceLines(difference);
  if (!lines.length) return <p className={styles.hint}>{deploymentTexts.difference.none}</p>;
  return (
    <Table
      label={deploymentTexts.difference.label}
      rows={lines.map((line, index) => ({ ...line, key: String(index) }))}
      keyOf={({ key }) => key}
      columns={COLUMNS}
    />
  );
}

const COLUMNS = [
  {
    title: deploymentTexts.difference.what,
    cell: ({ kind, breaks }: DifferenceLine) => (
      <span className={styles.states}>
        {deploymentTexts.difference.kinds[kind] ?? kind}
        {breaks === null ? null : (
          <Status state="failed">
            {deploymentTexts.difference.breaks}
            {breaks ? `: ${breaks}` : ""}
          </Status>
        )}
      </span>
    ),
  },
  { title: deploymentTexts.difference.where, cell: ({ where }: DifferenceLine) => <code>{where}</code> },
  { title: deploymentTexts.difference.before, cell: ({ before }: DifferenceLine) => <Value text={before} /> },
  { title: deploymentTexts.difference.after, cell: ({ after }: DifferenceLine) => <Value text={after} /> },
];

function Value({ text }: { text: string | null }) {
  return text === null ? t.common.unknown : <code>{text}</code>;
}
