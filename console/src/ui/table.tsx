import { type ReactNode, useDeferredValue } from "react";
import styles from "./table.module.css";

interface TableProps<Row> {
  label: string;
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  columns: readonly { title: string; cell: (row: Row) => ReactNode }[];
  /** The rows are those of earlier filters, and others are on their way. */
  isOld?: boolean;
}

/** As many rows as the highest screens show. */
const FIRST_ROWS = 30;

/**
 * Rows with columns; on narrow screens each row is a card that names its values.
 *
 * A long list is shown with its first rows, and has the others a moment later: until then the page
 * already answers.
 */
export function Table<Row>({ label, rows, keyOf, columns, isOld = false }: TableProps<Row>) {
  const hasAll = useDeferredValue(true, rows.length <= FIRST_ROWS);
  const shown = hasAll ? rows : rows.slice(0, FIRST_ROWS);
  return (
    <table className={styles.table} aria-label={label} aria-busy={isOld}>
      <thead>
        <tr>
          {columns.map(({ title }) => (
            <th key={title} scope="col">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {shown.map((row) => (
          <tr key={keyOf(row)}>
            {columns.map(({ title, cell }) => (
              <td key={title} data-title={title}>
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
